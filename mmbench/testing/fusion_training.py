"""What every fusion promises of training: its weights matter, and it learns what it says it can."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.contracts import Fusion
from mmbench.optimizer import AdamW
from mmbench.testing.fusion_examples import (
    N_OUTPUTS,
    agreement,
    exclusive_or,
    modalities_of,
    subject,
    subjects,
    widened,
)
from mmbench.testing.searched import assert_all_matter, from_one_seed
from mmbench.testing.subject import Inputs, Subject, cast
from mmbench.testing.weights import idle_weights, unsearched

STEPS, LEARNING_RATE = 400, 0.01
LEARNT = 0.05
"""Training stops at this cross-entropy."""
WIDE = 128
"""Of inputs, where it is to be seen what narrows them."""
BATCH, GAPS = 64, 8
"""Enough rows that a router sends some to each expert; every eighth row misses a modality."""


def every_weight_matters(cls: type[Fusion], **params: Any) -> None:
    """No trained matrix, nor most of its rows, is without influence whatever the input."""
    params = unsearched(cls, params)
    *_, case = subjects(cls, **params)
    names = modalities_of(case)
    if len(names) < 2:
        return
    dims = {m: case.inputs[f"{m}.tokens"].shape[-1] for m in names}
    case = subject(cls, dims, batch=BATCH, **params)
    inputs = _with_gaps(case.inputs, names) if cls.capabilities.handles_missing else case.inputs
    idle = idle_weights(case, case.build().train().double(), cast(inputs, torch.float64))
    assert not idle, (
        f"{case.what}: {', '.join(idle)} never changes the output. A softmax over one key is "
        f"always 1, whatever its query: attend to tokens (needs_sequences = True). And weights or "
        f"confidences must multiply what they are for."
    )


def _with_gaps(inputs: Inputs, modalities: list[str]) -> dict[str, Tensor]:
    changed = {k: v.clone() for k, v in inputs.items()}
    for first, m in enumerate(modalities):
        changed[f"{m}.mask"][first::GAPS] = False
        changed[f"{m}.pooled"][first::GAPS] = 0.0
    return changed


def every_searched_parameter_matters(cls: type[Fusion], **params: Any) -> None:
    """No parameter that is searched may have any value: outputs or gradients change with it."""

    def cases(**given: Any) -> Iterator[Subject]:
        for case in subjects(cls, **given):
            yield widened(cls, case, WIDE, **given)

    def outcome(**given: Any) -> Iterator[Tensor]:
        yield torch.tensor(cls.decides(N_OUTPUTS, **given))
        yield from from_one_seed(cases)(**given)

    assert_all_matter(cls, params, cls.name, outcome)


def what_modalities_agree_on_is_learnt(cls: type[Fusion], **params: Any) -> None:
    """Under a linear head it learns the sign that every one of its modalities shows."""
    if not cls.reads(("a",), **params):
        return  # it reads nothing, and says so
    *_, case = subjects(cls, **params)
    accuracy = _accuracy_after_training(case, *agreement(case))
    assert accuracy > 0.95, (
        f"{case.what}: under a linear head it gets {accuracy:.0%} right of what all modalities say "
        f"alike, after {STEPS} steps. Is what it computes lost on the way to its output?"
    )


def interaction_learns_exclusive_or(cls: type[Fusion], **params: Any) -> None:
    """With ``interaction``, a linear head on it learns whether two modalities' signs agree."""
    if not cls.capabilities.interaction:
        return
    case = next(subjects(cls, **params))
    if len(modalities_of(case)) < 2:
        case = subject(cls, {"a": 3, "b": 5}, **params)
    accuracy = _accuracy_after_training(case, *exclusive_or(case))
    assert accuracy > 0.95, (
        f"{case.what}: it says interaction, but under a linear head it gets {accuracy:.0%} of "
        f"exclusive-or right after {STEPS} steps. Multiply modalities, or declare "
        f"interaction=False."
    )


def _accuracy_after_training(case: Subject, inputs: Inputs, target: Tensor) -> float:
    """Share of the rows it was trained on that a linear head on it gets right."""
    fusion = case.build()
    head = nn.Linear(fusion.out_dim, 2)
    optimizer = AdamW([*fusion.parameters(), *head.parameters()], weight_decay=0.0)
    for _ in range(STEPS):
        loss = nn.functional.cross_entropy(head(case.call(fusion, inputs)[0]), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(LEARNING_RATE)
        if loss.item() < LEARNT:
            break
    scores = head(case.call(fusion.eval(), inputs)[0])
    return float((scores.argmax(1) == target).double().mean())
