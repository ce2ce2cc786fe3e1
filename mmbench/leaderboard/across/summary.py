"""Which method is the best over all tasks, on the whole: the one to read first.

rows → entries (a row of each method on each task) → ranks, wins, Elo, significance, fronts → words
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import exp, isfinite, log
from statistics import fmean
from typing import Any

from mmbench.evaluation.paired import mean_ranks
from mmbench.leaderboard.across.bradley_terry import Elo, elo_ratings
from mmbench.leaderboard.across.budget import budgets
from mmbench.leaderboard.across.entries import CONCAT, REFERENCES, Entries, entries_of
from mmbench.leaderboard.across.fronts import Front, fronts
from mmbench.leaderboard.across.significance import LEAST_TASKS, Significance, significance
from mmbench.leaderboard.across.wins import Floats, wins_by_task
from mmbench.leaderboard.rank import latency_vs_concat
from mmbench.leaderboard.row import Row


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """One task of the ranking; they all weigh the same."""

    task: str
    version: str
    metric: str
    higher_is_better: bool
    rows: int
    seeds: list[int]
    """Those that all its rows share, on each of which methods are ranked; empty: means are."""
    budgets: list[str]
    """How its rows were tuned, in words; more than one where rows of several jobs are mixed."""
    hardware: list[str]


@dataclass(frozen=True, slots=True)
class Cell:
    """A method on a task."""

    rank: float
    """From 1, averaged over seeds; equal scores share the mean of their ranks."""
    score: float | None
    """The main metric on test; the majority's where that stands in, None if there is none."""
    row: str | None
    """The row's id; None where the method failed or was not run: the majority stands in."""
    latency_vs_concat: float | None
    """Median latency over that of concat on the same machine."""

    @property
    def stands_in(self) -> bool:
        return self.row is None


@dataclass(frozen=True, slots=True)
class MethodSummary:
    """A method over all tasks."""

    method: str
    reference: bool
    average_rank: float
    elo: Elo
    win_rate: float | None
    """Mean over the other methods and over tasks; None if there is no other."""
    tasks: int
    """On how many of the tasks it has a row."""
    latency_vs_concat: float | None
    """Geometric mean over the tasks where it was measured."""
    cells: dict[str, Cell]
    """By task."""


@dataclass(frozen=True, slots=True)
class Across:
    """All that is said over several tasks; plain values throughout."""

    tasks: list[TaskSummary]
    methods: list[MethodSummary]
    """Best average rank first."""
    left_out: dict[str, int]
    """Methods that are not ranked, by the number of tasks that they have a row on: too few."""
    win_rates: dict[str, dict[str, float]]
    """``win_rates[a][b]``: how often a beats b; with the opposite cell it sums to 1."""
    significance: Significance
    fronts: list[Front]
    """By task, hardware and cost."""

    def to_dict(self) -> dict[str, Any]:
        """JSON: every field by name, ``stands_in``, the ``verdict`` of sign tests, ``words``."""
        from mmbench.leaderboard.across.words import words

        document = asdict(self)
        for method, summary in zip(document["methods"], self.methods, strict=True):
            for task, cell in summary.cells.items():
                method["cells"][task]["stands_in"] = cell.stands_in
        tests = document["significance"]["sign_tests"]
        for method, test in self.significance.sign_tests.items():
            tests[method]["verdict"] = test.verdict
        return {**document, "words": words(self)}


def across(rows: Sequence[Row]) -> Across:
    """Rank the methods of ``rows`` over their tasks; nothing is remembered from other rows.

    Raises ``InvalidSpec`` if no row was run on three or more seeds.
    """
    entries = entries_of(rows)
    methods = list(entries[0].scores)
    wins = wins_by_task([here.scores for here in entries], methods)
    ratings = elo_ratings(wins, interval=len(entries) >= LEAST_TASKS)
    ranks = [mean_ranks(here.scores, higher_is_better=True) for here in entries]
    cells = {
        m: {here.task: _cell(m, here, at[m]) for here, at in zip(entries, ranks, strict=True)}
        for m in methods
    }
    summaries = [
        _summary(method, cells[method], elo, mean_rate)
        for method, elo, mean_rate in zip(methods, ratings, _mean_rates(wins), strict=True)
    ]
    means = [{m: fmean(here.scores[m]) for m in here.rows if m in here.scores} for here in entries]
    return Across(
        [_task(here) for here in entries],
        sorted(summaries, key=lambda s: (s.average_rank, s.method)),
        dict(Counter(m for here in entries for m in sorted(here.rows) if m not in here.scores)),
        _matrix(wins, methods),
        significance(means, CONCAT),
        fronts(entries),
    )


def _task(here: Entries) -> TaskSummary:
    row = here.everyone[0]
    return TaskSummary(
        here.task,
        row.task_version,
        row.metric,
        row.higher_is_better,
        len(here.everyone),
        list(here.seeds),
        budgets(here.everyone),
        sorted({row.hardware for row in here.everyone}),
    )


def _cell(method: str, here: Entries, rank: float) -> Cell:
    row = here.rows.get(method)
    if row is not None:
        ratio = latency_vs_concat(row, here.everyone)
        return Cell(rank, row.main["mean"], row.id, ratio)
    score = fmean(here.scores[method])
    sign = here.everyone[0].sign
    return Cell(rank, sign * score if isfinite(score) else None, None, None)


def _summary(
    method: str, cells: Mapping[str, Cell], elo: Elo, win_rate: float | None
) -> MethodSummary:
    ratios = [c.latency_vs_concat for c in cells.values() if c.latency_vs_concat]
    return MethodSummary(
        method,
        method in REFERENCES,
        fmean(cell.rank for cell in cells.values()),
        elo,
        win_rate,
        sum(not cell.stands_in for cell in cells.values()),
        exp(fmean(map(log, ratios))) if ratios else None,
        dict(cells),
    )


def _mean_rates(wins: Floats) -> list[float | None]:
    """Each method's share of wins over all others."""
    n = wins.shape[-1]
    return [float(own) / (n - 1) if n > 1 else None for own in wins.mean(axis=0).sum(axis=1)]


def _matrix(wins: Floats, methods: Sequence[str]) -> dict[str, dict[str, float]]:
    rates = wins.mean(axis=0)
    return {
        a: {b: float(rates[i, j]) for j, b in enumerate(methods) if b != a}
        for i, a in enumerate(methods)
    }
