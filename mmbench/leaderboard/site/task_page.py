"""The page of a task: the answer, the table, and what the rows measured."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from mmbench.leaderboard import robustness_table
from mmbench.leaderboard.commands import needs, rerun_command
from mmbench.leaderboard.headline import versions
from mmbench.leaderboard.rank import Standing, rank
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.site.answer import Answer, answer
from mmbench.leaderboard.site.board_table import board_table, row_page
from mmbench.leaderboard.site.contribution_charts import contributions
from mmbench.leaderboard.site.heat import heat_maps
from mmbench.leaderboard.site.page import Page, link
from mmbench.leaderboard.site.robustness_charts import robustness_of_many
from mmbench.leaderboard.site.trade_off import trade_offs
from mmbench.leaderboard.site.tuning_charts import search_curves

FOLDER = "tasks"


def task_path(task: str) -> str:
    return f"{FOLDER}/{task}.html"


def task_page(rows: Sequence[Row], boards: PurePosixPath) -> Page:
    """``rows`` are all of one task; ``boards`` is where their JSON lies, for the commands."""
    parts = by_version(rows)
    newest = parts[0]
    ranked = [s.row for s in newest if s.rank is not None]
    found: Answer = answer(rows, newest)
    content = {
        "task": rows[0].task,
        "answer": found,
        "rerun": rerun_command(found.best, boards) if found.best else "",
        "needs": needs(found.best) if found.best else "",
        "tables": [board_table(part) for part in parts],
        "trade_offs": trade_offs(newest, lambda row: link(row_page(row), FOLDER)),
        "robustness": robustness_of_many(ranked),
        "robust_figure": robustness_table.figure,
        "robust_rows": [row for row in ranked if row.robustness],
        "contributions": contributions(ranked),
        "contributing_rows": [row for row in ranked if row.contribution],
        "heat_maps": heat_maps(newest),
        "search": search_curves(ranked),
        "newest": max(row.created for row in rows),
        "row_page": row_page,
    }
    return Page(task_path(rows[0].task), rows[0].task, "task.html", content)


def by_version(rows: Sequence[Row]) -> list[list[Standing]]:
    """Standings of each version of the task's data, the newest version first."""
    return [
        rank([row for row in rows if row.task_version == version]) for version in versions(rows)
    ]
