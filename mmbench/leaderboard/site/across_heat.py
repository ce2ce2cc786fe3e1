"""Methods by tasks, and who beats whom: tables whose cells are shaded."""

from collections.abc import Mapping
from dataclasses import dataclass

from mmbench.leaderboard.across.figures import STANDS_IN, share
from mmbench.leaderboard.across.summary import Across, MethodSummary
from mmbench.leaderboard.cells import NONE, score

MOST_METHODS = 30
"""Lines and columns of the table of wins; `mmbench leaderboard --across --json` has all."""


@dataclass(frozen=True, slots=True)
class TaskCell:
    """A method on a task; ``shade`` from 0 (last) to 1 (first)."""

    value: float | None
    rank: float
    text: str
    page: str | None
    """Its row; None where the majority stands in."""
    shade: float


@dataclass(frozen=True, slots=True)
class WinCell:
    """How often the method of the line beats that of the column; None is itself."""

    value: float | None
    text: str
    pole: str
    """``more`` or ``less`` often than not; empty for itself and for even."""
    shade: float


def by_task(
    found: Across, pages: Mapping[tuple[str, str], str]
) -> list[tuple[MethodSummary, list[TaskCell]]]:
    """Scores and ranks; the shade follows the rank, which all metrics share."""
    last = max(1, len(found.methods) - 1)
    return [
        (method, [_task_cell(method, t.task, pages, last) for t in found.tasks])
        for method in found.methods
    ]


def _task_cell(
    method: MethodSummary, task: str, pages: Mapping[tuple[str, str], str], last: int
) -> TaskCell:
    cell = method.cells[task]
    text = NONE if cell.score is None else score(cell.score)
    return TaskCell(
        cell.score,
        cell.rank,
        f"{text}{STANDS_IN}" if cell.stands_in else text,
        None if cell.row is None else pages[task, cell.row],
        round(1 - (cell.rank - 1) / last, 3),
    )


def wins(found: Across) -> list[tuple[MethodSummary, list[WinCell]]]:
    """The first methods against each other, best average rank first."""
    shown = found.methods[:MOST_METHODS]
    return [
        (method, [_win_cell(found, method.method, other.method) for other in shown])
        for method in shown
    ]


def _win_cell(found: Across, one: str, other: str) -> WinCell:
    if one == other:
        return WinCell(None, "", "", 0.0)
    rate = found.win_rates[one][other]
    pole = "more" if rate > 0.5 else "less" if rate < 0.5 else ""
    return WinCell(rate, share(rate), pole, round(abs(2 * rate - 1), 3))
