"""Numbers as programs write them: 1234.5, 12 345, <0.5; digits that are none: 01067."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from mmbench.tables.cells import with_value
from mmbench.tables.limits import LIMIT, MOST_LIMITS, without_limit

MOST = 0.9
"""Share of a column's cells that must agree for it to be of a kind."""
CODE = re.compile(r"\s*[+-]?(?:0\d+|\d{16,})\s*")
"""Digits that are no number: a postcode, an identifier that float64 would round."""
POSTCODE = re.compile(r"\s*[+-]?0\d+\s*")
"""Digits of which one is lost in a number, so that none of their column is."""
BLANKS = r" \u00a0\u202f"
"""Between thousands, and beside a sign of money."""
THOUSANDS = re.compile(rf"[+-]?\d{{1,3}}(?:[{BLANKS}]\d{{3}}){{1,3}}(?:\.\d+)?")
"""One number: 12 345."""


def as_numbers(cells: pd.Series) -> pd.Series:
    """(rows,) NaN where there is none; 12 345 is one, <0.5 is 0.5, and a duration its seconds."""
    if pd.api.types.is_timedelta64_dtype(cells):
        seconds: pd.Series = cells.dt.total_seconds()
        return seconds
    if not pd.api.types.is_numeric_dtype(cells):
        cells = cells.map(_plain, na_action="ignore")
    return pd.to_numeric(cells, errors="coerce")


def _plain(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    text = without_limit(cell)
    return "".join(text.split()) if THOUSANDS.fullmatch(text.strip()) else text


def are_numbers(cells: pd.Series) -> bool:
    """Whether most of these strings are numbers, and they are no codes and no names of ranges."""
    told = with_value(cells).dropna()
    if not len(told) or as_numbers(told).notna().mean() < MOST:
        return False
    if any(POSTCODE.fullmatch(cell) for cell in told):
        return False
    if share_of(told, LIMIT.match) > MOST_LIMITS:
        return False
    return share_of(told, lambda cell: not CODE.fullmatch(cell)) >= MOST


def share_of(cells: Iterable[Any], holds: Callable[[Any], object]) -> float:
    """How many of the cells it holds for, from 0 to 1."""
    return float(np.mean([bool(holds(cell)) for cell in cells]))
