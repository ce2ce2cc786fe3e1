"""The page of a ranking across tasks: words first, then methods, tasks, wins, and what they cost.

Boards and controlled comparisons are ranked apart: a search keeps its best configurations only, a
comparison runs everyone with the same budget.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmbench.errors import InvalidSpec
from mmbench.leaderboard.across import across, figures
from mmbench.leaderboard.across.bradley_terry import DRAWN
from mmbench.leaderboard.across.summary import Across, MethodSummary
from mmbench.leaderboard.across.words import MOST_NAMES, elo_cell, names, sign_test_lists, words
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.site.across_charts import rank_against_latency
from mmbench.leaderboard.site.across_heat import by_task, wins
from mmbench.leaderboard.site.board_table import Cell, Column, row_page
from mmbench.leaderboard.site.comparison_file import Comparison
from mmbench.leaderboard.site.page import Page
from mmbench.leaderboard.site.whisker import Scale, Whisker, scale

Pages = Mapping[tuple[str, str], str]
"""The path of a row's page by its task and id."""
LEAST_TASKS = 2
BOARDS, COMPARED = "across.html", "across-comparisons.html"


@dataclass(frozen=True, slots=True)
class MethodLine:
    """A method as the table shows it."""

    place: int
    method: MethodSummary
    elo: Whisker
    elo_text: str
    figures: Sequence[Cell]
    words: str
    """What the filter looks in."""


def across_pages(rows: Sequence[Row], comparisons: Sequence[Comparison]) -> list[Page]:
    """A page for the boards and one for the comparisons, each if two tasks or more are ranked."""
    compared: dict[tuple[str, str], tuple[Row, str]] = {}
    for comparison in comparisons:
        for row in comparison.rows.values():
            known = compared.get((row.task, row.id))
            if known is None or known[0].created < row.created:
                page = f"{comparison.folder_on_site}/{row.id}.html"
                compared[row.task, row.id] = row, page
    places = {key: page for key, (_, page) in compared.items()}
    searched = {(row.task, row.id): row_page(row) for row in rows}
    return [
        *_page(BOARDS, "Across tasks", "what searches found", rows, searched),
        *_page(
            COMPARED,
            "Across comparisons",
            "controlled comparisons: all else equal, all of one comparison tuned alike",
            [row for row, _ in compared.values()],
            places,
        ),
    ]


def _page(path: str, name: str, source: str, rows: Sequence[Row], pages: Pages) -> list[Page]:
    try:
        found = across(rows)
    except InvalidSpec:  # every row is a preview
        return []
    if len(found.tasks) < LEAST_TASKS:
        return []
    claim, *rest = words(found)
    content = {
        "found": found,
        "claim": claim,
        "rest": rest,
        "source": source,
        "columns": _columns(),
        "lines": _lines(found),
        "by_task": by_task(found, pages),
        "stands_in": any(c.stands_in for m in found.methods for c in m.cells.values()),
        "wins": wins(found),
        "charts_list": rank_against_latency(found),
        "fronts": found.fronts,
        "figures": figures,
        "drawn": f"{DRAWN:g}",
        "signs": sign_test_lists(found.significance),
        "names": names,
        "MOST_NAMES": MOST_NAMES,
    }
    return [Page(path, name, "across.html", content, menu=name)]


def _columns() -> list[Column]:
    return [
        Column("rank", "#", "Place by average rank"),
        Column(
            "fusion", "Method", "Fusion, with its paradigm where that is not plain", numeric=False
        ),
        Column("score", "Elo", "Bradley–Terry strength; 400 points are odds of 10 to 1"),
        Column("meanrank", "Average rank", "Over the seeds of a task, then over tasks"),
        Column("wins", "Win rate", "Share of the other methods beaten, over seeds and tasks"),
        Column("concat", "× concat", "Median latency over concat's, geometric mean over tasks"),
        Column("tasks", "Tasks", "On how many tasks it has a row"),
    ]


def _lines(found: Across) -> list[MethodLine]:
    ratings = scale(_interval(method) for method in found.methods)
    return [_line(i, m, ratings, len(found.tasks)) for i, m in enumerate(found.methods, start=1)]


def _interval(method: MethodSummary) -> tuple[float, float, float]:
    """With too few tasks for an interval, the rating alone."""
    elo = method.elo
    low = elo.rating if elo.low is None else elo.low
    high = elo.rating if elo.high is None else elo.high
    return low, elo.rating, high


def _line(place: int, method: MethodSummary, ratings: Scale, tasks: int) -> MethodLine:
    rank, ratio = method.average_rank, method.latency_vs_concat
    return MethodLine(
        place,
        method,
        ratings.whisker(_interval(method)),
        elo_cell(method.elo),
        [
            Cell("meanrank", "average rank", rank, figures.rank(rank)),
            Cell("wins", "win rate", method.win_rate, figures.share(method.win_rate)),
            Cell("concat", "× concat", ratio, figures.ratio(ratio)),
            Cell("tasks", "tasks", method.tasks, f"{method.tasks} of {tasks}"),
        ],
        f"{method.method}{' reference' if method.reference else ''}".lower(),
    )
