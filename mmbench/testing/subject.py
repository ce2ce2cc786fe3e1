"""What a promise is asked of, and how it is asked.

A promise is a function that takes a ``Subject`` and raises AssertionError with what is broken and
how to mend it. Each kind of component lifts the promises of all kinds over its own subjects.
"""

import functools
import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

OWN_CODE = str(Path(__file__).parent)
Inputs = Mapping[str, Tensor]
Check = Callable[..., None]
"""Takes a component's class (an encoder's also its column) and hyperparameters by keyword."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One component under test: how to build it, what to feed it, how to call it."""

    what: str
    build: Callable[[], Any]
    """A new one at every call, with weights from torch's global generator."""
    inputs: Inputs  # each (batch, …)
    call: Callable[[Callable[..., Any], Inputs], tuple[Tensor, ...]]
    """Run a module, or a function with its signature; the main output comes first."""


def promise(check: Check) -> Check:
    """Run ``check`` from a fixed seed; an exception inside it is a broken promise too."""

    @functools.wraps(check)
    def guarded(*args: Any, **params: Any) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            try:
                check(*args, **params)
            except (Exception, SystemExit) as error:
                if _is_ours(error):
                    raise
                whose = getattr(args[0], "__name__", args[0])
                raise AssertionError(
                    f"{whose} breaks {check.__name__}: it raised {described(error)}\n"
                    f"{inspect.getdoc(check)}"
                ) from error

    return guarded


def _is_ours(error: BaseException) -> bool:
    """Whether it is the kit that says what is broken, not an assert in what it asks."""
    place = traceback.extract_tb(error.__traceback__)[-1].filename
    return isinstance(error, AssertionError) and bool(str(error)) and place.startswith(OWN_CODE)


def described(error: BaseException) -> str:
    """The error; if it says nothing of itself, the place where it was raised."""
    name = type(error).__name__
    if str(error):
        return f"{name}: {error}"
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{name} at {place.filename}:{place.lineno}"


def lifted(check: Callable[[Subject], None], subjects: Callable[..., Iterator[Subject]]) -> Check:
    """A check of a class that keeps the promise for all its subjects."""

    @functools.wraps(check)
    def over_all(*args: Any, **params: Any) -> None:
        for subject in subjects(*args, **params):
            check(subject)

    return promise(over_all)


def close(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> bool:
    """Whether all outputs agree to float32 rounding; NaN agrees with nothing."""
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(one, other, strict=True))


def identical(one: Tensor, other: Tensor) -> bool:
    """Equal everywhere; an empty cell (NaN) equals an empty cell."""
    return bool(((one == other) | one.isnan() & other.isnan()).all())


def cast(inputs: Inputs, to: torch.dtype | torch.device) -> dict[str, Tensor]:
    """Inputs on a device, or with their floating tensors in a precision."""
    move_all = isinstance(to, torch.device)
    return {k: v.to(to) if move_all or v.is_floating_point() else v for k, v in inputs.items()}


def projected(outputs: tuple[Tensor, ...]) -> Tensor:
    """A random linear function of all outputs: a sum of squares is constant after LayerNorm."""
    return torch.stack([(o * torch.randn_like(o)).sum() for o in outputs if o.requires_grad]).sum()
