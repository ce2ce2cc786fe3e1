"""All promises of one component, each kept or broken by itself.

As tests, in three lines; each promise is a test of its own in the report:

    from mmbench.testing import fusion_contract
    from my_fusion import MyFusion

    TestContract = fusion_contract(MyFusion)

``mmbench plugins check`` asks for the same promises, as ``verdicts``. There is no plugin of pytest
to load: one that comes by an entry point would rewrite the asserts of all of mmbench in every test
run of whoever has it installed.
"""

import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmbench.testing.subject import Check, described


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one promise is kept."""

    promise: str
    about: str
    kept: bool
    message: str
    """What is broken and how to mend it; empty if it is kept."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Contract:
    """The promises of one component, bound to it."""

    kind: str
    name: str
    checks: tuple[Check, ...]
    """Each has the name and the docstring of a promise."""
    given: Callable[[], tuple[Any, ...]]
    """What each check is called with, made when it is needed."""
    params: Mapping[str, Any] = field(default_factory=dict)

    def verdicts(self) -> Iterator[Verdict]:
        """Ask for each promise in turn; of what cannot be made, for that alone."""
        for check in self.checks if _kept(self.made) else (it_can_be_made,):
            start, kept, message = time.perf_counter(), True, ""
            try:
                self.ask(check)
            except AssertionError as broken:
                kept, message = False, str(broken)
            seconds = time.perf_counter() - start
            yield Verdict(check.__name__, about(check), kept, message, seconds)

    def ask(self, check: Check) -> None:
        check(*self.made(), **self.params)

    def made(self) -> tuple[Any, ...]:
        """What each check is called with, or AssertionError where it cannot be had."""
        try:
            return self.given()
        except (Exception, SystemExit) as error:
            raise AssertionError(
                f"{self.kind} {self.name} cannot be made: it raised {described(error)}"
            ) from error

    def tests(self) -> type:
        """A class for pytest with a test for each promise."""
        tests = {f"test_{check.__name__}": _test(self, check) for check in self.checks}
        return type(f"Test{self.kind.title()}Contract", (), tests)


def it_can_be_made(*_: Any) -> None:
    """It can be made, with its defaults."""


def _kept(asked: Callable[[], Any]) -> bool:
    try:
        asked()
    except AssertionError:
        return False
    return True


def about(check: Check) -> str:
    """The first sentence of a promise."""
    return " ".join((check.__doc__ or "").partition("\n\n")[0].split())


def _test(contract: Contract, check: Check) -> Callable[[object], None]:
    """A test that fails with the message alone: the kit's own frames help nobody."""

    def test(self: object) -> None:  # noqa: ARG001
        if broken := _broken(contract, check):
            import pytest

            pytest.fail(broken, pytrace=False)

    test.__doc__ = about(check)
    return test


def _broken(contract: Contract, check: Check) -> str:
    """What is broken and how to mend it, with the traceback of what the component raised."""
    try:
        contract.ask(check)
    except AssertionError as broken:
        raised = broken.__cause__
        trace = "\n" + "".join(traceback.format_exception(raised)) if raised else ""
        return f"{broken}\n\nThe promise: {about(check)}\n{trace}"
    return ""
