"""Dates as they are written: 2024-03-04, 4.3.2024, 04.03.24 10:00, 3/4/2024, 4 March 2024.

Whether 3/4 is in March or April is told by a whole column, not by a cell, and kept in the recipe.
"""

import re
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from mmbench.tables.cells import strings
from mmbench.tables.findings import Finding

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAME = rf"({'|'.join(MONTHS)})[a-z]*\.?"
_TIME = r"((?:[T ]\d{1,2}:\d{2}.*)?)"
_DAY_OR_MONTH = r"(0?[1-9]|[12]\d|3[01])"
_DAY = rf"{_DAY_OR_MONTH}(?:st|nd|rd|th|\.)?"
YEAR_FIRST = re.compile(rf"(\d{{4}})([-/.])(\d{{1,2}})\2(\d{{1,2}}){_TIME}")
YEAR_LAST = re.compile(rf"{_DAY_OR_MONTH}(\. ?|/|-){_DAY_OR_MONTH}\2(\d{{4}}|\d{{2}}){_TIME}")
NAME_FIRST = re.compile(rf"{_NAME} {_DAY},? (\d{{4}}){_TIME}", re.IGNORECASE)
DAY_FIRST_NAMED = re.compile(rf"{_DAY}[ -]{_NAME},?[ -](\d{{4}}){_TIME}", re.IGNORECASE)
Order = Literal["day/month/year", "month/day/year"]
DAY_FIRST: Order = "day/month/year"
MONTH_FIRST: Order = "month/day/year"
LAST_OF_2000S = 68
"""A year of two digits is one of 1969 to 2068, as POSIX has it."""
DATE_PARTS = 5
"""Numbers that a date becomes."""


class Orders(NamedTuple):
    """How many dates of a column can be read in one order alone, or in both."""

    day_first: int
    month_first: int
    either: int

    @property
    def order(self) -> Order:
        return DAY_FIRST if self.day_first > self.month_first else MONTH_FIRST


def is_date(cell: str) -> bool:
    """Whether it is written as a date is, though there may be no such day."""
    return any(
        pattern.fullmatch(cell.strip())
        for pattern in (YEAR_FIRST, YEAR_LAST, NAME_FIRST, DAY_FIRST_NAMED)
    )


def orders(cells: pd.Series) -> Orders:
    """Of dates with slashes or dashes; with dots the day is first, and the year where it leads."""
    if pd.api.types.is_datetime64_any_dtype(cells):
        return Orders(0, 0, 0)
    found = [YEAR_LAST.fullmatch(cell.strip()) for cell in strings(cells).dropna()]
    pairs = [(int(m[1]), int(m[3])) for m in found if m and not m[2].startswith(".")]
    days, months = (sum(pair[i] > 12 for pair in pairs) for i in (0, 1))
    return Orders(days, months, len(pairs) - days - months)


def read_dates(cells: pd.Series, order: Order) -> pd.Series:
    """(rows,) in UTC; NaT for what is no date."""
    if not pd.api.types.is_datetime64_any_dtype(cells):
        texts = strings(cells).map(str.strip, na_action="ignore")
        cells = texts.map(partial(_as_iso, order=order), na_action="ignore")
    return pd.to_datetime(cells, errors="coerce", format="mixed", utc=True)


def _as_iso(cell: str, order: Order) -> str:
    """With the year first; any other cell as it is."""
    if found := YEAR_FIRST.fullmatch(cell):
        year, _, month, day, time = found.groups()
    elif found := NAME_FIRST.fullmatch(cell):
        month, day, year, time = found.groups()
    elif found := DAY_FIRST_NAMED.fullmatch(cell):
        day, month, year, time = found.groups()
    elif found := YEAR_LAST.fullmatch(cell):
        first, separator, second, year, time = found.groups()
        day_first = order == DAY_FIRST or separator.startswith(".")
        day, month = (first, second) if day_first else (second, first)
    else:
        return cell
    if len(year) == 2:
        year = f"{20 if int(year) <= LAST_OF_2000S else 19}{year}"
    number = MONTHS.index(month.lower()) + 1 if month.isalpha() else int(month)
    return f"{year}-{number:02d}-{int(day):02d}{time}"


def date_parts(cells: pd.Series, order: Order) -> np.ndarray:
    """Days since 1970, sine and cosine of month and weekday; NaN without a date.

    (rows, ``DATE_PARTS``).
    """
    dates = read_dates(cells, order)
    days = (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
    month = 2 * np.pi * (dates.dt.month - 1) / 12
    weekday = 2 * np.pi * dates.dt.day_of_week / 7
    parts = [days, np.sin(month), np.cos(month), np.sin(weekday), np.cos(weekday)]
    return np.stack([np.asarray(part, dtype=float) for part in parts], axis=1)


def how_read(name: str, found: Orders) -> list[Finding]:
    """What is said of a column whose order is not plain."""
    if bool(found.day_first) != bool(found.month_first) or not sum(found):
        return []
    why = "no day is above 12, so that days and months cannot be told apart"
    if found.day_first:
        why = f"{found.day_first:,} have the day first and {found.month_first:,} the month"
    says = f"the dates are ambiguous, read as {found.order}: {why}. Write 2024-12-31 to be sure"
    return [Finding(name, says)]
