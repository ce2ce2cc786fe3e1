"""Scores by slice of the test rows, as a table whose cells are shaded."""

from collections.abc import Sequence
from dataclasses import dataclass

from mmbench.leaderboard import cells
from mmbench.leaderboard.rank import Standing
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.site.board_table import row_page

MOST_ROWS, MOST_SLICES = 20, 16
"""Beyond, the rows' own pages hold all."""


@dataclass(frozen=True, slots=True)
class HeatCell:
    """One score; ``shade`` from 0 (the worst of the table) to 1 (the best)."""

    value: float | None
    text: str
    shade: float


@dataclass(frozen=True, slots=True)
class HeatLine:
    row: Row
    place: str
    page: str
    cells: Sequence[HeatCell]


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A grouping of the test rows by its values."""

    name: str
    columns: Sequence[tuple[str, int]]
    """Value and how many test rows have it, the most frequent first."""
    lines: Sequence[HeatLine]
    note: str


def heat_maps(standings: Sequence[Standing]) -> list[HeatMap]:
    """One for each grouping."""
    groupings = dict.fromkeys(name for s in standings for name in s.row.slices)
    return [_heat_map(name, standings) for name in groupings]


def _heat_map(name: str, standings: Sequence[Standing]) -> HeatMap:
    having = [s for s in standings if name in s.row.slices]
    sizes: dict[str, int] = {}
    for standing in having:
        for value, part in standing.row.slices[name].items():
            sizes.setdefault(value, part["rows"])
    values = sorted(sizes, key=lambda v: (-sizes[v], v))[:MOST_SLICES]
    shown = having[:MOST_ROWS]
    scores = [
        parts[v]["score"] for s in shown for v in values if v in (parts := s.row.slices[name])
    ]
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    return HeatMap(
        name.replace("_", " "),
        [(v, sizes[v]) for v in values],
        [_line(s, name, values, low, high) for s in shown],
        _note(len(shown), len(having), len(values), len(sizes)),
    )


def _line(
    standing: Standing, name: str, values: Sequence[str], low: float, high: float
) -> HeatLine:
    row, line = standing.row, []
    for value in values:
        part = row.slices[name].get(value)
        if part is None:
            line.append(HeatCell(None, cells.NONE, 0.0))
            continue
        share = (part["score"] - low) / ((high - low) or 1.0)
        good = share if row.higher_is_better else 1 - share
        line.append(HeatCell(part["score"], cells.score(part["score"]), round(good, 3)))
    return HeatLine(row, cells.rank_cell(standing), row_page(row), line)


def _note(rows: int, of_rows: int, slices: int, of_slices: int) -> str:
    parts = []
    if rows < of_rows:
        parts.append(f"the first {rows} of {of_rows} rows")
    if slices < of_slices:
        parts.append(f"the {slices} largest of {of_slices} slices")
    return f"Shown: {' and '.join(parts)}." if parts else ""
