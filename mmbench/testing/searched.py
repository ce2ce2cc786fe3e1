"""The whole search space of a component: what a search may set it to, and whether that matters."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from mmbench.space import Choice, Param, Range, Value, params_of, validate
from mmbench.testing.subject import Subject, identical, projected
from mmbench.testing.weights import moved_from_where_they_begin

Outcome = Callable[..., Iterable[Tensor]]
"""Takes hyperparameters by keyword; gives all that shows what they do, from one seed."""


def settings(cls: type, given: Mapping[str, Any], owner: str) -> Iterator[dict[str, Any]]:
    """Hyperparameters as given; then with one at an end of its range, or at a choice, in turn."""
    yield validate(cls, given, owner)
    for param in params_of(cls):
        yield from _at_its_ends(cls, param, given, owner)


def _at_its_ends(
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
    for end in ends:
        yield validate(cls, {**given, **_conditions(cls, param), param.name: end}, owner)


def _conditions(cls: type, param: Param) -> dict[str, Value]:
    """What others must be for it to exist; some of them may exist on conditions of their own."""
    named, found = {p.name: p for p in params_of(cls)}, dict[str, Value]()
    while param.when:
        found[param.when.parameter] = param.when.equals
        param = named[param.when.parameter]
    return found


def assert_all_matter(cls: type, given: Mapping[str, Any], owner: str, outcome: Outcome) -> None:
    """Something of the outcome changes from one end of each searched parameter to another."""
    idle = []
    for param in params_of(cls):
        first, *others = list(_at_its_ends(cls, param, given, owner)) or [{}]
        if others and not any(_differ(outcome(**first), outcome(**other)) for other in others):
            idle.append(param.name)
    assert not idle, (
        f"{owner}: whatever a search sets {', '.join(idle)} to, all comes out the same. Use it, or "
        f"leave it out of the search: no Range, no Choice. If it only acts for one value of "
        f"another parameter, write When(…) beside its range."
    )


def _differ(one: Iterable[Tensor], other: Iterable[Tensor]) -> bool:
    return any(
        a is None or b is None or a.shape != b.shape or not identical(a, b)
        for a, b in zip_longest(one, other)
    )


def in_training(cases: Iterable[Subject]) -> Iterator[Tensor]:
    """The outputs of each case, and all gradients, in training mode."""
    for case in cases:
        module = case.build().train()
        moved_from_where_they_begin(module)
        inputs = {
            k: v.clone().requires_grad_() if v.is_floating_point() else v
            for k, v in case.inputs.items()
        }
        outputs = case.call(module, inputs)
        yield from outputs
        if any(output.requires_grad for output in outputs):
            projected(outputs).backward()
        reached = (*module.parameters(), *inputs.values())
        yield from (t.grad for t in reached if t.grad is not None)


def from_one_seed(cases: Callable[..., Iterable[Subject]]) -> Outcome:
    """What ``cases`` of a component do in training."""

    def outcome(**given: Any) -> tuple[Tensor, ...]:
        torch.manual_seed(0)
        return tuple(in_training(cases(**given)))

    return outcome
