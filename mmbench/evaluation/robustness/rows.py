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
    """A ``share`` of the rows, rounded, without a value; a higher share takes more beside them."""
    gone = torch.randperm(len(column), generator=draw)[: round(share * len(column))]
    index = column.value_of_row.clone()
    index[gone] = MISSING
    return replace(column, index=index)


def shuffled(column: Column, draw: torch.Generator) -> Column:
    """Every row gets the value of another: in a random order, each that of the one before.

    What a model loses by that says how much it listens to the modality (Gat, Schwartz & Schwing,
    "Perceptual Score: What Data Modalities Does Your Model Perceive?", NeurIPS 2021).
    """
    order = torch.randperm(len(column), generator=draw)
    index = column.value_of_row.clone()
    index[order] = index[order.roll(1)]
    return replace(column, index=index)


def conflicting(column: Column, groups: Tensor, draw: torch.Generator) -> Column:
    """Every row gets the value of a random row of another of two or more ``groups`` (rows,)."""
    donors = torch.empty(len(column), dtype=torch.long)
    for group in groups.unique():
        own = groups == group
        others = (~own).nonzero().squeeze(1)
        donors[own] = others[torch.randint(len(others), (int(own.sum()),), generator=draw)]
    return column.dealt(donors)


def opposed(target: Tensor, kind: TargetKind) -> Tensor:
    """(rows,) groups that contradict each other: classes, sets of labels, halves of numbers."""
    if kind == "regression":
        numbers = target.reshape(len(target), -1)[:, 0]
        return (numbers > numbers.median()).long()
    groups: Tensor = target.unique(dim=0, return_inverse=True)[1]
    return groups
