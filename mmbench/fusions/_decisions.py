"""What decision-level fusions share: safe outputs of every head, weights over those present."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from mmbench.errors import InvalidParameter
from mmbench.types import Features, TargetKind

EXCLUSIVE: frozenset[TargetKind] = frozenset({"classification"})
"""What can be answered by one that takes outputs for rivals, of which one is true."""


def decisions(features: Features, modalities: Iterable[str], present: Tensor) -> Tensor:
    """What each head said (batch, modality, n_outputs), zeros where the modality is missing."""
    scores = torch.stack([features[m].pooled for m in modalities], dim=1)
    # where, not a product: what the head of a missing modality said may be NaN
    return torch.where(present.unsqueeze(-1), scores, 0.0)


def softmax_over_present(logits: Tensor, present: Tensor) -> Tensor:
    """Weights of the same shape that sum to one over ``dim=1``; all zeros if none is present."""
    lowest = torch.finfo(logits.dtype).min
    return torch.where(present, logits, lowest).softmax(dim=1) * present


def several_outputs(dims: Mapping[str, int], owner: str) -> int:
    """How many outputs there are, at least two: posteriors need classes to choose between."""
    n_outputs = next(iter(dims.values()))
    if n_outputs < 2:
        raise InvalidParameter(
            f"{owner} takes two or more exclusive classes; this task has one output. "
            f"Use late-average, late-weighted or late-stacking."
        )
    return n_outputs
