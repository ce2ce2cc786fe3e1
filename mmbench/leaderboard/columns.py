"""Columns of a table on the terminal: those that have room, from the left, the dearest first.

A figure cut short would be another figure; names may be folded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.table import Table

Side = Literal["left", "right"]
ROOM_FOR_NAMES = 12
"""Characters that a column of names has at least."""
BETWEEN = 2
"""Characters between two columns, and around all."""


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    side: Side
    texts: Sequence[str]
    """One for each line of the table."""
    names: bool = False
    """Names or words of any length; figures are never broken over two lines."""

    @property
    def least(self) -> int:
        """Characters that it takes."""
        if self.names:
            return ROOM_FOR_NAMES
        texts = (self.title, *self.texts)
        return max(len(line) for text in texts for line in (text or " ").splitlines())


def with_room(columns: Sequence[Column], width: int) -> list[Column]:
    """The first columns, as many as a terminal ``width`` characters wide has room for."""
    kept: list[Column] = []
    width -= BETWEEN
    for column in columns:
        width -= column.least + BETWEEN
        if width < 0:
            break
        kept.append(column)
    return kept


def fitting(wide: Sequence[Column], narrow: Sequence[Column], width: int) -> list[Column]:
    """All of ``wide``, or what there is room for of ``narrow``."""
    kept = with_room(wide, width)
    return kept if len(kept) == len(wide) else with_room(narrow, width)


def table_of(columns: Sequence[Column]) -> Table:
    """Its head; the lines are to be added, each in its style."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, caption_justify="left")
    for column in columns:
        table.add_column(
            column.title, justify=column.side, overflow="fold", no_wrap=not column.names,
            min_width=ROOM_FOR_NAMES if column.names else None,
        )  # fmt: skip
    return table
