"""What became of a plugin: its state, the reason, and the mend."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mmbench.errors import BrokenPlugin
from mmbench.installed.switches import STRICT, is_strict

State = Literal["loaded", "slow", "disabled", "incompatible", "failed", "name clash"]
USABLE: frozenset[State] = frozenset({"loaded", "slow"})
BAD: frozenset[State] = frozenset({"incompatible", "failed", "name clash"})


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """One plugin and how its loading went."""

    name: str
    distribution: str
    """Its owner."""
    version: str
    state: State
    reason: str = ""
    mend: str = ""
    """What to do about it."""
    detail: str = ""
    """The traceback, where there is one."""
    seconds: float = 0.0
    target: str = ""
    """The module it is, or the path of its file."""
    folder: str = ""
    contact: str = ""
    """Whom to tell."""
    named: bool = False
    """A file that the user named on the command line."""

    @property
    def usable(self) -> bool:
        return self.state in USABLE

    @property
    def bad(self) -> bool:
        return self.state in BAD

    def __str__(self) -> str:
        mend = f" To mend it: {self.mend}." if self.mend else ""
        reason = self.reason.removesuffix(".")
        return f"plugin {self.name} ({self.distribution}) {_is(self.state)}: {reason}.{mend}"


def _is(state: State) -> str:
    return {"failed": "failed to load", "name clash": "is a name clash"}.get(state, f"is {state}")


def insist(records: Iterable[PluginRecord]) -> None:
    """Raise ``BrokenPlugin`` for a file named by the user that does not load.

    With ``MMBENCH_STRICT_PLUGINS`` set, for any plugin that is not as it should be.
    """
    strict = is_strict()
    broken = [r for r in records if r.bad and (strict or r.named)]
    if broken:
        why = f" ({STRICT} is set)" if strict else ""
        raise BrokenPlugin(
            f"{'; '.join(str(r) for r in broken)} `mmbench plugins --verbose` says more{why}."
        )
