"""Columns that give the target away: known only afterwards, or the target in other words."""

from collections.abc import Iterable, Mapping
from shlex import quote

import numpy as np
import pandas as pd

from mmbench.tables.cells import categories
from mmbench.tables.fields import numeric
from mmbench.tables.findings import Finding, counted
from mmbench.tables.targets import Target

MOST_VALUES = 0.2
"""Distinct values of a column, as a share of the rows, beyond which each has too few to say."""
FILLED = 0.5
"""Share of the rows that a column has a value of, before it is looked at."""
MOST_RIGHT, MOST_WRONG = 0.99, 0.1
"""A column gives classes away that tells at least so many rows' class, and has at most so many of
the errors of guessing the commonest."""
SMALLEST = 5
"""Rows of a range of numbers."""
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
            (name, says)
            for kind in ("number", "category")
            for name in columns.get(kind, ())
            if (says := _tells_classes(known[name], kind, classes))
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
            f"--kind {quote(f'{name}=ignored')}",
        )
        for name, says in found
    ]


def _tells_classes(cells: pd.Series, kind: str, classes: np.ndarray) -> str:
    """How a column gives the class away, in words; empty if it does not."""
    values = numeric(cells) if kind == "number" else _codes(cells)
    there = np.isfinite(values)
    if there.mean() < FILLED:
        return ""
    values, classes = values[there], classes[there]
    n = len(np.unique(values))
    few = 2 <= n <= MOST_VALUES * len(values)
    if not few and kind != "number":
        return ""
    right = _right_by_value(values, classes) if few else _right_by_range(values, classes)
    wrong, guessed = 1 - right, 1 - np.bincount(classes).max() / len(classes)
    if right < MOST_RIGHT or wrong >= MOST_WRONG * guessed:
        return ""
    if few and wrong == 0:
        return f"each of its {counted(n, 'value')} goes with one class of the target"
    return f"it alone tells the class of {right:.1%} of the rows that have a value"


def _codes(cells: pd.Series) -> np.ndarray:
    """(rows,) a number for each category, NaN for none."""
    codes = pd.factorize(categories(cells))[0].astype(float)
    return np.where(codes < 0, np.nan, codes)


def _right_by_value(values: np.ndarray, classes: np.ndarray) -> float:
    """Share of rows whose class is the commonest one of their value."""
    return float(pd.crosstab(values, classes).to_numpy().max(1).sum() / len(values))


def _right_by_range(values: np.ndarray, classes: np.ndarray) -> float:
    """Share of rows whose class a few ranges of the values tell: the leaves of a small tree."""
    from sklearn.tree import DecisionTreeClassifier

    n_classes = len(np.unique(classes))
    if n_classes * SMALLEST > len(classes):  # more classes than ranges
        return 0.0
    leaves = 2 * n_classes
    tree = DecisionTreeClassifier(max_leaf_nodes=leaves, min_samples_leaf=SMALLEST, random_state=0)
    return float(tree.fit(values[:, None], classes).score(values[:, None], classes))


def _same_order(cells: pd.Series, numbers: np.ndarray) -> bool:
    from scipy.stats import spearmanr  # type: ignore[import-untyped]

    column = numeric(cells)
    both = np.isfinite(column)
    if both.mean() < FILLED or len(np.unique(column[both])) < 2:
        return False
    return bool(abs(spearmanr(column[both], numbers[both]).statistic) >= SAME_ORDER)
