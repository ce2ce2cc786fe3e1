"""How often one method beats another, every task weighing the same."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def wins_by_task(scores: Sequence[Mapping[str, Sequence[float]]], methods: Sequence[str]) -> Floats:
    """(tasks, methods, methods): the share of seeds on which the row's method beats the column's.

    ``scores`` holds one mapping per task, more being better. A tie is half a win for both, so that
    opposite cells sum to 1; a method against itself is 0.
    """
    return np.stack([_wins(np.array([task[m] for m in methods])) for task in scores])


def _wins(scores: Floats) -> Floats:
    """(methods, methods) from (methods, seeds)."""
    mine, other = scores[:, None], scores[None]
    shares: Floats = ((mine > other) + 0.5 * (mine == other)).mean(axis=2)
    np.fill_diagonal(shares, 0.0)
    return shares
