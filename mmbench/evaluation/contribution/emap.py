"""The empirical multimodally-additive projection (EMAP): a model without its interactions.

Hessel & Lee, "Does my multimodal model learn cross-modal interactions? It's harder to tell than you
might think!", EMNLP 2020 (https://arxiv.org/abs/2010.06572).

The additive function nearest to f on all combinations of the rows' modalities is
``f̂(x) = Σ_m E f(x_m, others) − (M − 1) E f``, the others drawn independently of one another from
the rows. For two modalities that is the paper's formula over all n² pairs.

Differs from the paper: for M > 2, where all n^M combinations are out of reach, n² of them that hold
every pair of rows of every two modalities exactly once (an orthogonal array of strength two: Bose &
Bush, Ann. Math. Statist. 1952), for a prime n ≥ M. An additive f is still its own projection; what
interactions among the others leave in E f(x_m, others) is that of n draws, not of all n^(M − 1).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Mixed = Callable[[Sequence[Tensor]], Tensor]
"""From one tensor of row numbers (k,) per modality to the scores (k, n_outputs)."""


def additive_projection(mixed: Mixed, rows: int, modalities: int, at_once: int) -> Tensor:
    """(rows, n_outputs) what the additive stand-in says of each row.

    ``rows`` is prime, or any number for up to two modalities. ``mixed`` is given about ``at_once``
    combinations at a time.
    """
    if modalities > 2 and largest_prime(rows) != rows:
        raise ValueError(f"With {modalities} modalities, rows is a prime number; got {rows}.")
    if modalities == 1:
        return mixed([torch.arange(rows)])
    sums: list[Tensor] = []
    for shifts in torch.arange(rows).split(max(1, at_once // rows)):
        taken = [_rows_taken(m, shifts, rows) for m in range(modalities)]
        scores = mixed(taken)
        if not sums:
            sums = [scores.new_zeros(rows, scores.shape[1]) for _ in range(modalities)]
        for total, which in zip(sums, taken, strict=True):
            total.index_add_(0, which.to(scores.device), scores)
    alone = torch.stack(sums) / rows  # (modality, rows, n_outputs): E f(x_m, others)
    return alone.sum(0) - (modalities - 1) * alone[0].mean(0)


def _rows_taken(modality: int, shifts: Tensor, rows: int) -> Tensor:
    """(shifts × rows,) modality m of combination (i, k) comes from row i + m·k, modulo rows."""
    return ((torch.arange(rows) + modality * shifts.unsqueeze(1)) % rows).flatten()


def largest_prime(limit: int) -> int:
    """The largest prime number up to ``limit``, or 0."""
    candidates = range(limit, 1, -1)
    return next((n for n in candidates if all(n % d for d in range(2, int(n**0.5) + 1))), 0)
