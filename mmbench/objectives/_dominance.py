"""How far each modality is ahead of the others on a batch."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mmbench.objectives._present import mean_over
from mmbench.types import Features

SMALLEST = 1e-8
"""A score below it counts as this much, so that a ratio of scores stays finite."""


def true_class_probability(
    logits: Mapping[str, Tensor], target: Tensor, features: Features
) -> tuple[Tensor, Tensor]:
    """(modality,): the mean probability of the true class, and whether any row has the modality.

    A mean over the rows that have the modality, where papers sum over a batch without gaps: the
    same ratio, and missing rows do not make a modality look weak.
    """
    present = [features[m].present for m in logits]
    scores = [
        mean_over(x.detach().softmax(-1).gather(1, target.unsqueeze(1)).squeeze(1), rows)
        for x, rows in zip(logits.values(), present, strict=True)
    ]
    return torch.stack(scores), torch.stack([rows.any() for rows in present])


def mean_of_others(values: Tensor, known: Tensor) -> Tensor:
    """(modality,): for each modality the mean over the other known ones; zero if there is none."""
    kept = torch.where(known, values, 0.0)
    others = 1 - torch.eye(len(values), dtype=values.dtype, device=values.device)
    return (others @ kept) / (others @ known.to(values.dtype)).clamp(min=1)


def comparable(known: Tensor) -> Tensor:
    """(modality,): known, and not alone."""
    return known & (known.sum() > 1)


def dominance(scores: Tensor, known: Tensor) -> Tensor:
    """(modality,): each score over the mean of the others'; 1 where there is nothing to compare.

    With two modalities it is the plain ratio of one to the other.
    """
    others = mean_of_others(scores, known).clamp(min=SMALLEST)
    return torch.where(comparable(known), scores.clamp(min=SMALLEST) / others, 1.0)
