"""Which trials can train as one batched model, as far as their specs tell."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mmbench.contracts import Objective
from mmbench.resolve import Resolved
from mmbench.spec import FLOAT32, canonical_json

FREE = ("learning_rate", "weight_decay", "warmup", "clip", "patience")
"""Settings of training that each member has for itself."""


def structure(resolved: Resolved) -> str | None:
    """What trials that train together have in common; None if this one is to train alone.

    Seeds and numbers that are not whole may differ: learning rates, dropout rates, weights of a
    loss. What a number means to a component is looked at when the models are there.
    """
    if not is_batched(resolved):
        return None
    spec = resolved.spec
    kinds = {"fusion": spec.fusion, "head": spec.head, "objective": spec.objective}
    train = {k: v for k, v in asdict(spec.train).items() if k not in FREE}
    parts = {kind: [c.name, _whole(c.params)] for kind, c in kinds.items()}
    for m, c in spec.encoders.items():  # one that is frozen is asked once for all of them
        params = c.params if _is_frozen(resolved, m) else _whole(c.params)
        parts[f"encoder.{m}"] = [c.name, dict(params)]
    return canonical_json([asdict(spec.task), train, parts])


def _whole(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if not isinstance(value, float)}


def is_batched(resolved: Resolved) -> bool:
    """Whether every part says that it is functional, and steps are plain and in float32."""
    own_step = any(
        getattr(resolved.objective, hook) is not getattr(Objective, hook)
        for hook in ("begin_epoch", "rows", "step")
    )
    return (
        resolved.fusion.capabilities.batched
        and resolved.head.batched
        and resolved.objective.batched
        and all(cls.batched or _is_frozen(resolved, m) for m, cls in resolved.encoders.items())
        and not own_step
        and resolved.spec.train.precision == FLOAT32
    )


def _is_frozen(resolved: Resolved, modality: str) -> bool:
    frozen = resolved.spec.encoders[modality].params.get("frozen", False)
    return bool(frozen) or resolved.encoders[modality].frozen


def groups_of_one_structure(trials: Sequence[Resolved], most: int) -> list[list[int]]:
    """The trials by number, those that go together in one group of at most ``most``."""
    by_structure: dict[str, list[int]] = {}
    for number, resolved in enumerate(trials):
        by_structure.setdefault(structure(resolved) or f"alone {number}", []).append(number)
    return [
        numbers[first : first + most]
        for numbers in by_structure.values()
        for first in range(0, len(numbers), most)
    ]
