"""What is found in a user's data, in plain words: which column or row, and what was done."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

SHOWN = 5
"""Rows, files or values that a sentence names; the rest is counted."""

Level = Literal["done", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth knowing before anything is trained."""

    where: str
    """The column, or the table as a whole."""
    says: str
    level: Level = "note"
    """``done``: something was changed or left out. ``note``: all is as it was."""
    items: tuple[str, ...] = ()
    """Everything that was left out, one by one, such as broken files with their reasons."""


def rows_named(rows: Iterable[int | np.integer[Any]]) -> str:
    """``rows 3, 8 and 40 more``: rows count from 1, below the header."""
    numbers = [str(int(row) + 1) for row in rows]
    return ("row " if len(numbers) == 1 else "rows ") + listed(numbers)


def so_missing(rows: Collection[int]) -> str:
    """What it means that files of these rows cannot be used."""
    return f"so {rows_named(rows)} miss{'es' if len(rows) == 1 else ''} this modality"


def listed(items: Sequence[str]) -> str:
    """At most five of them, and how many more there are."""
    if len(items) <= SHOWN:
        return ", ".join(items)
    return f"{', '.join(items[:SHOWN])} and {len(items) - SHOWN:,} more"


def counted(n: int, what: str) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"
