"""Numbers that are limits, as a laboratory writes them: <0.5, >= 100."""

import re

LIMIT = re.compile(r"\s*[<>≤≥]=?\s*(?=[+-]?[\d.,])")
"""What stands before the number."""
MOST_LIMITS = 0.5
"""Share of limits up to which a column is of numbers; more are names of ranges: <30, >30."""


def without_limit(cell: str) -> str:
    """The number alone."""
    return LIMIT.sub("", cell, count=1) if LIMIT.match(cell) else cell
