"""Which value each row gets: none, that of another row, that of a row of another class.

Only the index of a column changes; its values are shared with the undisturbed column.

A missing modality is a row whose index is ``MISSING``: its features are masked out, with a mask
all False and a pooled vector of zeros. A fusion that declares ``handles_missing`` knows what that
means. One that does not is asked all the same: it takes the zeros for a value like any other, as it
would in use; should it raise, or answer with NaN, that disturbance is left out.
"""

from dataclasses import replace

import torch
from torch import Tensor

from mmbench.types import MISSING, Column, TargetKind

MISSING_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""As many levels as a noise has, the first of them the identity."""


def missing(column: Column, share: float, draw: torch.Generator) -> Column:
    """A ``share`` of the rows that have a value, rounded, loses it; a higher share more of them."""
    index, there = column.value_of_row.clone(), _there(column)
    gone = torch.randperm(len(there), generator=draw)[: round(share * len(there))]
    index[there[gone]] = MISSING
    return replace(column, index=index)


def shuffled(column: Column, draw: torch.Generator) -> Column:
    """Every row that has a value gets that of another: in a random order, of the one before.

    What a model loses by that says how much it listens to the modality (Gat, Schwartz & Schwing,
    "Perceptual Score: What Data Modalities Does Your Model Perceive?", NeurIPS 2021).
    """
    index, there = column.value_of_row.clone(), _there(column)
    order = there[torch.randperm(len(there), generator=draw)]
    index[order] = index[order.roll(1)]
    return replace(column, index=index)


def conflicting(column: Column, groups: Tensor, draw: torch.Generator) -> Column:
    """Every row that has a value gets that of a random row of another of ``groups`` (rows,).

    A group keeps its own if no row of another has one.
    """
    before, there = column.value_of_row, column.present
    index = before.clone()
    for group in groups.unique():
        own, others = there & (groups == group), before[there & (groups != group)]
        if len(others):
            index[own] = others[torch.randint(len(others), (int(own.sum()),), generator=draw)]
    return replace(column, index=index)


def _there(column: Column) -> Tensor:
    """The rows that have a value."""
    return column.present.nonzero().squeeze(1)


def opposed(target: Tensor, kind: TargetKind) -> Tensor:
    """(rows,) groups that contradict each other: classes, sets of labels, halves of numbers."""
    if kind == "regression":
        numbers = target.reshape(len(target), -1)[:, 0]
        return (numbers > numbers.median()).long()
    groups: Tensor = target.unique(dim=0, return_inverse=True)[1]
    return groups
