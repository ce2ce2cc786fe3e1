"""Is a model as often right as it is sure? Bins of confidence for a reliability diagram.

Guo, Pleiss, Sun & Weinberger, "On Calibration of Modern Neural Networks", ICML 2017. The bins are
those of the expected calibration error, which is the mean gap that they show, weighted by rows.
"""

from typing import Any

import torch
from torch import Tensor

from mmbench.metrics.classification import CALIBRATION_BINS as BINS
from mmbench.metrics.classification import confidences


def reliability_bins(scores: Tensor, target: Tensor) -> dict[str, Any]:
    """Plain lists from ``scores`` (rows, classes), logits, and ``target`` (rows,).

    Fields are those of ``mmbench.leaderboard.diagnoses.Reliability``.
    """
    confidence, right, bins = confidences(scores, target)
    rows = torch.bincount(bins, minlength=BINS)
    return {
        "edges": [k / BINS for k in range(BINS + 1)],
        "rows": rows.tolist(),
        "confidence": _means(confidence, bins, rows),
        "accuracy": _means(right, bins, rows),
    }


def _means(values: Tensor, bins: Tensor, rows: Tensor) -> list[float | None]:
    sums = torch.zeros(BINS, dtype=torch.float64).index_add(0, bins, values)
    return [s / n if n else None for s, n in zip(sums.tolist(), rows.tolist(), strict=True)]
