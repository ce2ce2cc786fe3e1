"""A comparison on the terminal: a rich table, narrower where there is less room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from mmbench.comparison import cells
from mmbench.leaderboard import cells as figures
from mmbench.leaderboard.columns import Column, Side, fitting, table_of
from mmbench.leaderboard.rank import Concats

if TYPE_CHECKING:
    from rich.table import Table

    from mmbench.comparison.job import Outcome
    from mmbench.comparison.verdicts import Verdict
    from mmbench.leaderboard.row import Row

Told = tuple[str, Side, Callable[[int, "Verdict", "Outcome"], str]]
"""A column by its title, its side and what it says of a contestant."""
WORDS = frozenset({"", "difference", "verdict"})
READING = (
    "bold: not shown to be worse than the first; dim: references; verdicts by a paired test, "
    "corrected for their number"
)


def terminal_table(outcome: Outcome, width: int) -> Table:
    """One line for each contestant, best first; a narrow one leaves figures to the page."""
    from rich.text import Text

    columns = fitting(_columns(WIDE, outcome), _columns(NARROW, outcome), width)
    table = table_of(columns)
    for line, v in enumerate(outcome.verdicts):
        style = "dim" if v.reference else "bold" if v.leads else ""
        table.add_row(*(Text(column.texts[line]) for column in columns), style=style)
    table.caption = Text(
        "\n".join([READING, *figures.disturbed_note(list(outcome.rows.values()))]),
        style="dim",
    )
    return table


def _columns(told: Sequence[Told], outcome: Outcome) -> list[Column]:
    places = list(accumulate(int(not v.reference) for v in outcome.verdicts))
    lines = list(zip(places, outcome.verdicts, strict=True))
    return [
        Column(title, side, [cell(place, v, outcome) for place, v in lines], title in WORDS)
        for title, side, cell in told
    ]


def _row(v: Verdict, outcome: Outcome) -> Row:
    return outcome.rows[v.label]


def _score(_: int, v: Verdict, outcome: Outcome) -> str:
    main = _row(v, outcome).main
    return f"{figures.score(main['mean'])}\n{figures.interval(main['low'], main['high'])}"


def _latency(row: Row) -> str:
    return figures.milliseconds(row.latency_ms_p50) + figures.disturbed(row)


def _relative(_: int, v: Verdict, outcome: Outcome) -> str:
    row, concats = _row(v, outcome), Concats(list(outcome.rows.values()))
    return figures.relative(concats.ratio(row), row, concats.of(row))


NARROW: Sequence[Told] = (
    ("#", "right", lambda place, v, _: figures.NONE if v.reference else str(place)),
    ("", "left", lambda _, v, __: v.label),
    ("on test", "left", _score),
    ("gain", "right", lambda _, v, __: figures.signed(v.yardstick.mean) if v.yardstick else "–"),
    ("verdict", "left", lambda _, v, __: cells.verdict(v.yardstick)),
    ("p50 ms", "right", lambda _, v, o: _latency(_row(v, o))),
)
WIDE: Sequence[Told] = (
    *NARROW[:3],
    ("mean\nrank", "right", lambda _, v, __: f"{v.mean_rank:.1f}"),
    ("difference", "left", lambda _, v, __: cells.difference(v.yardstick)),
    NARROW[4],
    ("vali-\ndation", "right", lambda _, v, __: cells.best_validation(v)),
    NARROW[5],
    ("×\nconcat", "right", _relative),
    ("peak\nMiB", "right", lambda _, v, o: figures.memory_cell(_row(v, o))),
    ("fusion's\nparameters", "right", lambda _, v, o: figures.count(_row(v, o).fusion_parameters)),
)
