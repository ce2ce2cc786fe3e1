"""How good predictions are: every metric that fits the task, per slice, and who is taken for whom.

Scores and targets are on the CPU, all rows of a part at once.
"""

import math
import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mmbench.contracts import Metric
from mmbench.evaluation.resampling import PerRow
from mmbench.plugins import Plugins
from mmbench.types import Task

BySlice = dict[str, dict[str, dict[str, float]]]


def quality(scores: Tensor, target: Tensor, task: Task, plugins: Plugins) -> dict[str, float]:
    """Every registered metric that fits the task, by name.

    The task's own metric must not fail. Any other that raises, or gives no finite number, is left
    out with a warning: one broken plugin never stops the others, and JSON knows no NaN.
    """
    figures = {}
    for name, metric in sorted(plugins.metrics.items()):
        if not metric.fits(task):
            continue
        try:
            figure = float(metric()(scores, target))
        except Exception as error:
            if name == task.metric:
                raise
            reason = f"it raised {type(error).__name__}: {error}"
        else:
            if math.isfinite(figure) or name == task.metric:
                figures[name] = figure
                continue
            reason = f"it gave {figure}"
        warnings.warn(f"The metric {name} is left out: {reason}", stacklevel=2)
    return figures


def by_slice(
    scores: Tensor, target: Tensor, slices: Mapping[str, Sequence[str]], metric: Metric
) -> BySlice:
    """``{slice: {value: {"rows": how many, "score": metric on these rows}}}``.

    A mean over rows is that over the rows of a slice: what is searched for is still searched for
    among all. Any other metric is given the rows of the slice alone.
    """
    each = metric.per_row(scores, target).double() if isinstance(metric, PerRow) else None

    def score(rows: Tensor) -> dict[str, float]:
        found = metric(scores[rows], target[rows]) if each is None else each[rows].mean()
        return {"rows": len(rows), "score": float(found)}

    return {
        name: {value: score(rows) for value, rows in _groups(values)}
        for name, values in slices.items()
    }


def _groups(values: Sequence[str]) -> list[tuple[str, Tensor]]:
    rows: dict[str, list[int]] = {}
    for row, value in enumerate(values):
        rows.setdefault(value, []).append(row)
    return [(value, torch.tensor(rows[value])) for value in sorted(rows)]


def confusion(scores: Tensor, target: Tensor, n: int) -> list[list[int]]:
    """``[true class][predicted class]`` counts of rows, ``n`` × ``n``, for classification."""
    cells = target * n + scores.argmax(dim=1)
    counts: list[list[int]] = torch.bincount(cells, minlength=n * n).view(n, n).tolist()
    return counts
