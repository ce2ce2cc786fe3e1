"""A ranking across tasks on the terminal: one line for each method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmbench.leaderboard.across import figures
from mmbench.leaderboard.across.words import elo_cell
from mmbench.leaderboard.columns import Column, fitting, table_of

if TYPE_CHECKING:
    from rich.table import Table

    from mmbench.leaderboard.across.summary import Across

BY_TASK = 7
"""Tasks up to which each has a column."""


def terminal_table(found: Across, width: int) -> Table:
    """Best average rank first; with scores by task where there is room, and fewer than eight."""
    from rich.text import Text

    overall, by_task = _overall(found), _by_task(found)
    columns = fitting([*overall, *by_task], overall, width)
    table = table_of(columns)
    for line, method in enumerate(found.methods):
        style = "dim" if method.reference else ""
        table.add_row(*(Text(column.texts[line]) for column in columns), style=style)
    if len(columns) > len(overall):
        table.caption = Text(
            f"by task: score (rank); {figures.STANDS_IN} the majority baseline stands in",
            style="dim",
        )
    return table


def _overall(found: Across) -> list[Column]:
    methods, tasks = found.methods, len(found.tasks)
    figures_of = {
        "average\nrank": [figures.rank(m.average_rank) for m in methods],
        "Elo": [elo_cell(m.elo) for m in methods],
        "win\nrate": [figures.share(m.win_rate) for m in methods],
        "×\nconcat": [figures.ratio(m.latency_vs_concat) for m in methods],
        "on\ntasks": [f"{m.tasks}/{tasks}" for m in methods],
    }
    return [
        Column("", "right", [str(place) for place in range(1, len(methods) + 1)]),
        Column("method", "left", [figures.name(m) for m in methods], names=True),
        *(Column(title, "right", texts) for title, texts in figures_of.items()),
    ]


def _by_task(found: Across) -> list[Column]:
    tasks = found.tasks if len(found.tasks) <= BY_TASK else []
    return [
        Column(
            f"{task.task}\n{task.metric}", "right",
            [figures.on_task(method.cells[task.task]) for method in found.methods],
        )
        for task in tasks
    ]  # fmt: skip
