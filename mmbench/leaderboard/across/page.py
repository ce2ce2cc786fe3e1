"""A ranking across tasks in Markdown, and the page that lists all boards."""

from collections.abc import Sequence
from pathlib import Path

from mmbench.files import write_whole
from mmbench.leaderboard.across import figures
from mmbench.leaderboard.across.bradley_terry import DRAWN
from mmbench.leaderboard.across.entries import CHOICE, SINGLE
from mmbench.leaderboard.across.significance import ALPHA
from mmbench.leaderboard.across.summary import Across, MethodSummary, across
from mmbench.leaderboard.across.words import elo_cell, names, sign_test_lists, words
from mmbench.leaderboard.cells import NONE
from mmbench.leaderboard.headline import headline
from mmbench.leaderboard.markdown_table import escape, table
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.row_files import read_rows
from mmbench.leaderboard.sources import COMPARISONS, board_folders, rows_under

MOST_METHODS = 20
"""Columns of the win-rate table; the JSON holds all."""


def write_index(boards: Path) -> Path:
    """Write ``boards/README.md``: a line for each task, then the rankings across tasks.

    Boards and controlled comparisons are ranked apart: a search keeps its best configurations
    only, a comparison runs everyone with the same budget.
    """
    parts = ["# Leaderboards", *_tasks(boards)]
    if board_folders(boards):
        parts += ["## Across tasks: what searches found", *sections(across(_rows(boards)))]
    compared = boards / COMPARISONS
    if any(compared.glob("*/rows/*/*.json")):
        parts += [
            "## Across tasks: controlled comparisons",
            "All else equal, all methods of one comparison tuned alike: "
            f"[each comparison]({COMPARISONS}/README.md).",
            *sections(across(_rows(compared))),
        ]
    parts.append("*Written by `mmbench leaderboard --across --write`; do not edit.*")
    return write_whole(boards / "README.md", "\n\n".join(parts) + "\n")


def _rows(folder: Path) -> list[Row]:
    return rows_under(folder)[0]


def _tasks(boards: Path) -> list[str]:
    """One line per task: how many rows it has, and its headline."""
    header = [("task", "l"), ("rows", "r"), ("what came out", "l")]
    lines = []
    for folder in board_folders(boards):
        rows, _ = read_rows(folder)
        if rows:
            link = f"[{escape(folder.name)}]({folder.name}/README.md)"
            lines.append([link, str(len(rows)), escape(" ".join(headline(rows)))])
    return [table(header, lines)] if lines else []


def sections(found: Across) -> list[str]:
    """Sentences, the table of methods, scores by task, win rates, fronts, and how to read them."""
    first, *rest = words(found)
    return [
        f"**{escape(first)}** {escape(' '.join(rest))}".strip(),
        _methods(found),
        _reading(found),
        "### By task",
        _by_task(found),
        *_win_rates(found.methods[:MOST_METHODS], found),
        "### Accuracy against cost",
        _fronts(found),
    ]


def _methods(found: Across) -> str:
    header = [
        ("#", "r"), ("method", "l"), ("average rank", "r"), ("Elo", "r"), ("win rate", "r"),
        ("latency × concat", "r"), ("on tasks", "r"),
    ]  # fmt: skip
    lines = [
        [
            str(place),
            _name(method),
            figures.rank(method.average_rank),
            elo_cell(method.elo),
            figures.share(method.win_rate),
            figures.ratio(method.latency_vs_concat),
            f"{method.tasks} of {len(found.tasks)}",
        ]
        for place, method in enumerate(found.methods, start=1)
    ]
    return table(header, lines)


def _name(method: MethodSummary) -> str:
    return escape(method.method) + (" *(reference)*" if method.reference else "")


def _reading(found: Across) -> str:
    notes = [
        "A method is a fusion, with its paradigm where that is not plain; its row on a task is the "
        "one that validation prefers.",
        f"*{CHOICE}*, *{SINGLE}*: another one on each task, chosen by validation from all that "
        "were searched.",
        "*average rank*: methods are ranked on each fresh seed of a task; ranks are averaged over "
        "seeds, then over tasks.",
        "*Elo*: Bradley–Terry strengths, 400 points for odds of 10 to 1, mean 1000; every pair has "
        f"{DRAWN:g} wins added on either side. Brackets: 95 % over resampled tasks.",
        "*win rate*: share of the other methods beaten, over seeds and tasks; a tie is half.",
        "*latency × concat*: geometric mean over tasks, each on its own machine.",
    ]
    if any(cell.stands_in for method in found.methods for cell in method.cells.values()):
        notes.append(
            f"{figures.STANDS_IN}: no row on this task (failed, not run, or not kept); the "
            f"majority baseline stands in."
        )
    notes += _tests(found)
    return "\n".join(f"- {note}" for note in notes)


def _tests(found: Across) -> list[str]:
    """The groups of the critical difference, and the sign tests, where there are some.

    The site and the JSON list every method; here a few of each stand for all.
    """
    test = found.significance
    if test.critical_difference is None:
        return []
    groups = escape("; ".join(names(group) for group in test.groups))
    said = [f"Not shown to differ (Nemenyi, α = {ALPHA}): {groups}."]
    if test.sign_tests:
        verdicts = "; ".join(f"{v}: {names(own)}" for v, own in sign_test_lists(test).items())
        said.append(
            f"Against {test.against}, tasks won : lost, Holm-corrected. {escape(verdicts)}."
        )
    return said


def _by_task(found: Across) -> str:
    """Scores on test with average ranks; each task's metric, seeds and budget in its column."""
    header = [("method", "l"), *((f"{escape(t.task)} ({t.metric})", "r") for t in found.tasks)]
    lines = [
        [_name(m), *(figures.on_task(m.cells[t.task]) for t in found.tasks)] for m in found.methods
    ]
    budgets = [", ".join(map(escape, t.budgets)) for t in found.tasks]
    seeds = [str(len(t.seeds)) if t.seeds else "means" for t in found.tasks]
    lines += [["*tuning*", *budgets], ["*seeds ranked*", *seeds]]
    return table(header, lines)


def _win_rates(methods: Sequence[MethodSummary], found: Across) -> list[str]:
    if len(methods) < 2:
        return []
    header = [("beats →", "l"), *((str(i), "r") for i in range(1, len(methods) + 1))]
    lines = [
        [f"{i} {_name(a)}", *(_rate(found, a.method, b.method) for b in methods)]
        for i, a in enumerate(methods, start=1)
    ]
    return ["### Win rates", table(header, lines)]


def _rate(found: Across, a: str, b: str) -> str:
    return NONE if a == b else figures.share(found.win_rates[a][b])


def _fronts(found: Across) -> str:
    header = [
        ("task", "l"), ("hardware", "l"), ("cost", "l"), ("Pareto front, cheapest first", "l"),
        ("hypervolume", "r"),
    ]  # fmt: skip
    lines = [
        [
            escape(front.task),
            escape(front.hardware),
            figures.COST_NAMES[front.cost],
            escape(figures.on_front(front)),
            figures.share(front.hypervolume),
        ]
        for front in found.fronts
    ]
    note = (
        "*hypervolume*: share of the plane that the front covers, from the majority baseline's "
        "score (the worst row's, where there is none) at the dearest row's cost to the best score "
        "at the lowest cost (cost on a logarithmic axis)."
    )
    return f"{table(header, lines)}\n\n{note}"
