"""What a model says of some of the modalities, and what each of them adds."""

import math
from collections.abc import Callable, Sequence
from itertools import chain, combinations

import torch
from torch import Tensor

from mmbench.contracts import Model
from mmbench.types import Features

MOST_MODALITIES = 4
"""The model runs once for each subset of them."""


def scores_with_only(model: Model, features: Features, kept: frozenset[str]) -> Tensor:
    """What the model says (batch, n_outputs) if all modalities but ``kept`` are missing."""
    gone = {m: torch.full_like(e.present, m not in kept) for m, e in features.items()}
    return model.respond({m: e.without(gone[m]) for m, e in features.items()}).scores


def shapley(
    modalities: Sequence[str], value: Callable[[frozenset[str]], Tensor]
) -> dict[str, Tensor]:
    """Each modality's share of ``value`` of them all; the value of none is zero."""
    n = len(modalities)
    sizes = (combinations(modalities, size) for size in range(1, n + 1))
    worth = {frozenset(s): value(frozenset(s)) for s in chain.from_iterable(sizes)}
    worth[frozenset()] = torch.zeros_like(worth[frozenset(modalities)])
    shares: dict[str, Tensor] = {}
    for m in modalities:
        gains = [
            (worth[s | {m}] - worth[s]) / (n * math.comb(n - 1, len(s)))
            for s in worth
            if m not in s
        ]
        shares[m] = torch.stack(gains).sum(0)
    return shares
