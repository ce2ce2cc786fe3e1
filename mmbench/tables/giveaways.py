"""Columns that give the target away: known only afterwards, or the target in other words."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from mmbench.tables.cells import categories
from mmbench.tables.fields import numeric
from mmbench.tables.findings import Finding, counted
from mmbench.tables.targets import Target

MOST_VALUES = 0.2
"""Distinct values of a column, as a share of the rows, beyond which each has too few to say."""
SAME_ORDER = 0.999
"""Rank correlation from which on a number orders the rows as the target does."""


def giveaways(
    frame: pd.DataFrame, columns: Mapping[str, Iterable[str]], target: Target
) -> list[Finding]:
    """Of numbers and categories (``columns`` by kind), those that alone say what the target is."""
    known = frame[target.known]
    if target.kind == "classification":
        classes = target.values.numpy()[target.known]
        found = [
            (name, f"each of its {counted(n, 'value')} goes with one class of the target")
            for kind in ("number", "category")
            for name in columns.get(kind, ())
            if (n := _values_of_one_class(known[name], classes))
        ]
    elif target.kind == "regression":
        numbers = target.values.numpy()[target.known]
        found = [
            (name, "it orders the rows as the target does")
            for name in columns.get("number", ())
            if _same_order(known[name], numbers)
        ]
    else:
        found = []
    return [
        Finding(
            name,
            f"{says}. If it is not known when a prediction is made, leave it out: "
            f"--kind {name}=ignored",
        )
        for name, says in found
    ]


def _values_of_one_class(cells: pd.Series, classes: np.ndarray) -> int:
    """How many values a column has if each is of one class; else 0."""
    texts = categories(cells)
    n = texts.nunique()
    if texts.isna().any() or not 2 <= n <= MOST_VALUES * len(texts):
        return 0
    return n if pd.Series(classes).groupby(texts.to_numpy()).nunique().max() == 1 else 0


def _same_order(cells: pd.Series, numbers: np.ndarray) -> bool:
    from scipy.stats import spearmanr  # type: ignore[import-untyped]

    column = numeric(cells)
    both = np.isfinite(column)
    if both.sum() < len(column) / 2 or len(np.unique(column[both])) < 2:
        return False
    return bool(abs(spearmanr(column[both], numbers[both]).statistic) >= SAME_ORDER)
