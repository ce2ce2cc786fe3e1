"""A board on the terminal: a rich table, narrower columns where there is less room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mmbench.leaderboard import cells
from mmbench.leaderboard.columns import Column, Side, fitting, table_of
from mmbench.leaderboard.rank import Standing

if TYPE_CHECKING:
    from rich.table import Table

Told = tuple[str, Side, Callable[[Standing], str]]
"""A column by its title, its side and what it says of a row."""
NAMES = frozenset({"encoders", "fusion", "configuration"})
"""Columns of names of any length."""


def terminal_table(standings: Sequence[Standing], width: int) -> Table:
    """The standings of one task as a table for a terminal ``width`` characters wide.

    A narrow one drops what the Markdown page also says, a very narrow one the last columns. A blank
    line sets apart versions and hardware that are not ranked together.
    """
    from rich.text import Text

    letters = cells.machines([s.row for s in standings])
    wide, narrow = (
        [Column(title, side, [*map(cell, standings)], title in NAMES) for title, side, cell in of]
        for of in (_wide(standings, letters), _narrow(standings, letters))
    )
    columns = fitting([*filter(_tells, wide)], [*filter(_tells, narrow)], width)
    table = table_of(columns)
    last = None
    for line, standing in enumerate(standings):
        board = (standing.row.task_version, standing.group)
        if last is not None and board != last:
            table.add_section()
        last = board
        table.add_row(*(Text(column.texts[line]) for column in columns), style=_style(standing))
    table.caption = Text("\n".join(_legend(standings, letters)), style="dim")
    return table


def _tells(column: Column) -> bool:
    """Whether it says something of any row: not every task has a gain, or a concat."""
    return any(text != cells.NONE for text in column.texts)


def _wide(standings: Sequence[Standing], letters: dict[str, str]) -> list[Told]:
    return [
        ("", "right", cells.rank_cell),
        ("encoders", "left", _encoders),
        ("fusion", "left", _fusion),
        ("head", "left", lambda s: s.row.head),
        ("objective", "left", lambda s: s.row.objective),
        (_metric(standings), "left", _score),
        ("gain over best\nsingle modality", "left", lambda s: _stacked(cells.gain_cell(s))),
        ("latency\np50 / p95 ms", "right", lambda s: cells.latency_cell(s.row)),
        ("×\nconcat", "right", cells.relative_cell),
        ("peak\nMiB", "right", lambda s: cells.memory_cell(s.row)),
        ("para-\nmeters", "right", lambda s: cells.count(s.row.parameters)),
        ("seeds", "right", _seeds),
        ("hard-\nware", "left", lambda s: letters[s.row.hardware]),
        ("row", "left", lambda s: s.row.id),
    ]


def _narrow(standings: Sequence[Standing], letters: dict[str, str]) -> list[Told]:
    return [
        ("", "right", cells.rank_cell),
        ("configuration", "left", _configuration),
        (_metric(standings), "left", _score),
        ("gain", "left", lambda s: cells.signed(s.row.gain["mean"]) if s.row.gain else cells.NONE),
        ("p50 / p95 ms", "right", lambda s: cells.latency_cell(s.row)),
        ("MiB", "right", lambda s: cells.memory_cell(s.row)),
        ("para-\nmeters", "right", lambda s: cells.count(s.row.parameters)),
        ("on", "left", lambda s: letters[s.row.hardware]),
    ]


def _metric(standings: Sequence[Standing]) -> str:
    return " or ".join(dict.fromkeys(s.row.metric for s in standings)) or "score"


def _score(standing: Standing) -> str:
    main = standing.row.main
    return f"{cells.score(main['mean'])}\n{cells.interval(main['low'], main['high'])}"


def _stacked(gain: str) -> str:
    return gain.replace(" [", "\n[").replace("], ", "]\n")


def _encoders(standing: Standing) -> str:
    return cells.encoders_cell(standing.row).replace(" + ", "\n")


def _fusion(standing: Standing) -> str:
    return cells.fusion_cell(standing.row).replace(" (", "\n(")


def _configuration(standing: Standing) -> str:
    row = standing.row
    return f"{_fusion(standing)}\n{_encoders(standing)}\n{row.head}, {row.objective}"


def _seeds(standing: Standing) -> str:
    return cells.seeds_cell(standing.row).replace(" ", "\n")


def _style(standing: Standing) -> str:
    if standing.rank == 1:
        return "bold"
    return "dim" if standing.row.preview else ""


def _legend(standings: Sequence[Standing], letters: dict[str, str]) -> list[str]:
    lines = [f"{letter}: {name}" for name, letter in letters.items()]
    if len(letters) > 1:
        lines.append("Latency and memory of different hardware are not ranked together.")
    lines += cells.disturbed_note([s.row for s in standings])
    if any(s.tied for s in standings):
        lines.append("≈ interval overlaps that of the first; `mmbench diff` tests two rows.")
    if any(s.row.preview for s in standings):
        lines.append("A preview has fewer than three seeds and is not ranked.")
    if any(cells.gain_verdict(s.row) for s in standings):
        lines.append("not shown to help: the interval of the gain includes zero.")
    if any(s.yardstick is not None for s in standings):
        lines.append("over x: the best single modality of that search; others are of the board.")
    return lines
