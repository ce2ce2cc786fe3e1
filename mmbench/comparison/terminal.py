"""A comparison on the terminal: a rich table, narrower where there is less room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from mmbench.comparison import cells
from mmbench.leaderboard import cells as figures
from mmbench.leaderboard.rank import latency_vs_concat

if TYPE_CHECKING:
    from rich.table import Table

    from mmbench.comparison.job import Outcome
    from mmbench.comparison.verdicts import Verdict
    from mmbench.leaderboard.row import Row

Cell = Callable[[int, "Verdict", "Outcome"], str]
Column = tuple[str, Literal["left", "right"], Cell]
ROOMY = 140
"""Characters a line from which every column has room."""


def terminal_table(outcome: Outcome, width: int = ROOMY) -> Table:
    """One line for each contestant, best first; a narrow one leaves figures to the page."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, caption_justify="left")
    columns = WIDE if width >= ROOMY else NARROW
    for title, side, _ in columns:
        table.add_column(title, justify=side, overflow="fold", no_wrap=bool(title))
    place = 0
    for v in outcome.verdicts:
        place += not v.reference
        style = "dim" if v.reference else "bold" if v.leads else ""
        table.add_row(*(Text(cell(place, v, outcome)) for *_, cell in columns), style=style)
    table.caption = Text(
        "bold: not shown to be worse than the first; dim: references; verdicts by a paired test, "
        "corrected for their number",
        style="dim",
    )
    return table


def _row(v: Verdict, outcome: Outcome) -> Row:
    return outcome.rows[v.label]


def _score(_: int, v: Verdict, outcome: Outcome) -> str:
    main = _row(v, outcome).main
    return f"{figures.score(main['mean'])} {figures.interval(main['low'], main['high'])}"


def _relative(_: int, v: Verdict, outcome: Outcome) -> str:
    ratio = latency_vs_concat(_row(v, outcome), list(outcome.rows.values()))
    return figures.NONE if ratio is None else f"{ratio:.2f}×"


NARROW: Sequence[Column] = (
    ("#", "right", lambda place, v, _: figures.NONE if v.reference else str(place)),
    ("", "left", lambda _, v, __: v.label),
    ("on test", "left", _score),
    ("gain", "right", lambda _, v, __: figures.signed(v.yardstick.mean) if v.yardstick else "–"),
    ("verdict", "left", lambda _, v, __: cells.verdict(v.yardstick)),
    ("p50 ms", "right", lambda _, v, o: figures.milliseconds(_row(v, o).latency_ms_p50)),
)
WIDE: Sequence[Column] = (
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
