"""The whole search space of a component: what a search may set it to."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmbench.space import Choice, Param, Range, params_of, validate


def settings(cls: type, given: Mapping[str, Any], owner: str) -> Iterator[dict[str, Any]]:
    """Hyperparameters as given; then with one at an end of its range, or at a choice, in turn."""
    yield validate(cls, given, owner)
    for param in params_of(cls):
        yield from at_its_ends(cls, param, given, owner)


def at_its_ends(
    cls: type, param: Param, given: Mapping[str, Any], owner: str
) -> Iterator[dict[str, Any]]:
    """Hyperparameters with this one at each end of its range, or at each of its choices."""
    match param.domain:
        case None:
            ends: tuple[Any, ...] = ()
        case Choice(options=options):
            ends = options
        case Range(low, high):
            ends = (param.type(low), param.type(high))
    condition = {param.when.parameter: param.when.equals} if param.when else {}
    for end in ends:
        yield validate(cls, {**given, **condition, param.name: end}, owner)
