"""A ranking across tasks on the terminal: one line for each method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmbench.leaderboard.across import figures
from mmbench.leaderboard.across.words import elo_cell

if TYPE_CHECKING:
    from rich.table import Table

    from mmbench.leaderboard.across.summary import Across

BY_TASK = 7
"""Tasks up to which each has a column, and the width in characters that a column takes."""
COLUMN, REST = 16, 80


def terminal_table(found: Across, width: int) -> Table:
    """Best average rank first; with scores by task where there is room, and fewer than eight."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    tasks = found.tasks
    shown = tasks if len(tasks) <= BY_TASK and width >= REST + COLUMN * len(tasks) else []
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, caption_justify="left")
    table.add_column("", justify="right")
    table.add_column("method", overflow="fold")
    for title in ("average\nrank", "Elo", "win\nrate", "×\nconcat", "on\ntasks"):
        table.add_column(title, justify="right", no_wrap=True)
    for task in shown:
        table.add_column(f"{task.task}\n{task.metric}", justify="right", no_wrap=True)
    for place, method in enumerate(found.methods, start=1):
        line = [
            str(place),
            figures.name(method),
            figures.rank(method.average_rank),
            elo_cell(method.elo),
            figures.share(method.win_rate),
            figures.ratio(method.latency_vs_concat),
            f"{method.tasks}/{len(tasks)}",
            *(figures.on_task(method.cells[task.task]) for task in shown),
        ]
        table.add_row(*map(Text, line), style="dim" if method.reference else "")
    if shown:
        table.caption = Text(
            f"by task: score (rank); {figures.STANDS_IN} the majority baseline stands in",
            style="dim",
        )
    return table
