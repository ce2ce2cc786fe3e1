"""Numbers that are limits, as a laboratory writes them: <0.5, >= 100."""

import re

import pandas as pd

from mmbench.tables.findings import Finding, counted, rows_named

LIMIT = re.compile(r"\s*[<>≤≥]=?\s*(?=[+-]?[\d.,])")
"""What stands before the number."""
MOST_LIMITS = 0.5
"""Share of limits up to which a column is of numbers; more are names of ranges: <30, >30."""


def without_limit(cell: str) -> str:
    """The number alone."""
    return LIMIT.sub("", cell, count=1) if LIMIT.match(cell) else cell


def limits_said(cells: pd.Series) -> list[Finding]:
    """What is said of cells that are read as the numbers that they are limits of."""
    which = [row for row, cell in enumerate(cells) if isinstance(cell, str) and LIMIT.match(cell)]
    if not which:
        return []
    words, name = cells.iloc[which[0]].strip(), str(cells.name)
    says = f"{counted(len(which), 'cell')} with a limit, such as {words!r}, read as the number"
    return [Finding(name, f"{says} itself: {rows_named(which)}", "done")]
