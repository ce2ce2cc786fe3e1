"""Numbers that may not be what they seem: far off, limits, or with a unit beside them."""

import re
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from mmbench.tables.cells import strings, with_value
from mmbench.tables.fields import numeric
from mmbench.tables.findings import Finding, counted, rows_named
from mmbench.tables.kinds import Seems
from mmbench.tables.limits import LIMIT, without_limit
from mmbench.tables.numbers import MOST, as_numbers, share_of

GAP = 10.0
"""How wide a gap without any number is, in units of the middle half's, for those beyond it to be
far off: a slip, or what says "unknown", such as -999."""
WITH_UNIT = re.compile(r"\s*[+-]?\d+(?:[.,]\d+)*\s?(?:[^\W\d_]|[°µ])[^\s\d]*\s*")
SEVERAL = re.compile(r"\s*\d+(?:[.,]\d+)?(?:\s?[:/x×]\s?\d+(?:[.,]\d+)?)+\s*")
FEWEST = 5
"""Distinct cells, before numbers would say more than categories."""


def odd_numbers(
    frame: pd.DataFrame, columns: Mapping[str, Iterable[str]], seems: Mapping[str, Seems]
) -> list[Finding]:
    """What is said of ``columns`` (by kind); those that the user named as words are words."""
    numbers = [said for name in columns.get("number", ()) for said in far_off(frame[name])]
    words = [
        said
        for kind in ("category", "text")
        for name in columns.get(kind, ())
        if seems[name].why != "as you said"
        for said in _words_of_numbers(frame[name], kind)
    ]
    return [*numbers, *words]


def far_off(cells: pd.Series) -> list[Finding]:
    """What is said of the numbers beyond a gap, above or below the middle half of them."""
    numbers = numeric(cells)
    finite = np.isfinite(numbers)
    if not finite.any():
        return []
    low, high = np.percentile(numbers[finite], [25, 75])
    steps = np.unique(numbers[finite])
    wide = np.flatnonzero(np.diff(steps) > GAP * (high - low)) if high > low else np.array([])
    least = max((steps[i + 1] for i in wide if steps[i + 1] <= low), default=-np.inf)
    most = min((steps[i] for i in wide if steps[i] >= high), default=np.inf)
    rows = np.flatnonzero(finite & ((numbers < least) | (numbers > most)))
    if not len(rows):
        return []
    says = (
        f"{counted(len(rows), 'number')} far from the others, such as {numbers[rows[0]]:g} (half "
        f"of all are from {low:g} to {high:g}): {rows_named(rows)}. Empty what stands for nothing"
    )
    return [Finding(str(cells.name), says)]


def _words_of_numbers(cells: pd.Series, kind: str) -> list[Finding]:
    """What is said of words that are numbers with units, or several numbers."""
    told = strings(with_value(cells).dropna())
    if told.nunique() < FEWEST:
        return []
    such = f"such as {told.iloc[0].strip()!r}, read as {kind}"
    if share_of(told, SEVERAL.fullmatch) >= MOST:
        says = f"several numbers in a cell, {such}. Give each a column to have them read as numbers"
    elif share_of(told, lambda cell: WITH_UNIT.fullmatch(without_limit(cell))) >= MOST:
        says = (
            f"numbers with words beside them, {such}. Write the numbers alone, all in one unit, to "
            "have them read as such"
        )
    else:
        return []
    return [Finding(str(cells.name), says)]


def limits_said(cells: pd.Series) -> list[Finding]:
    """What is said of cells that are read as the numbers that they are limits of."""
    limits = [isinstance(cell, str) and LIMIT.match(cell) is not None for cell in cells]
    which = np.flatnonzero(np.array(limits) & as_numbers(cells).notna().to_numpy(dtype=bool))
    if not len(which):
        return []
    words, name = cells.iloc[which[0]].strip(), str(cells.name)
    says = f"{counted(len(which), 'cell')} with a limit, such as {words!r}, read as the number"
    return [Finding(name, f"{says} itself: {rows_named(which)}", "done")]
