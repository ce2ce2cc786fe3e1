"""What a ranking across tasks says, in plain words, and what it does not say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmbench.leaderboard.across.significance import (
    ALPHA,
    LEAST_METHODS,
    LEAST_TASKS,
    Significance,
)
from mmbench.leaderboard.cells import NONE, p_is

if TYPE_CHECKING:
    from mmbench.leaderboard.across.bradley_terry import Elo
    from mmbench.leaderboard.across.summary import Across

MOST_NAMES = 8


def words(found: Across) -> list[str]:
    """Sentences: who leads, what is shown to differ, what is missing, how tuning differs."""
    return [
        _leading(found),
        _tasks(found),
        *_significant(found.significance),
        *_missing(found),
        *_left_out(found),
        *_tuning(found),
    ]


def _leading(found: Across) -> str:
    where = _count(len(found.tasks), "task")
    best, *others = found.methods
    if not others:
        return f"{best.method} is the only method on {where}."
    return (
        f"{best.method} has the best average rank of {len(found.methods)} methods on {where}: "
        f"{best.average_rank:.2f}, Elo {elo_cell(best.elo)}."
    )


def _tasks(found: Across) -> str:
    names = ", ".join(task.task for task in found.tasks)
    return f"Tasks, all weighing the same: {names}." if len(found.tasks) > 1 else f"Task: {names}."


def elo_cell(elo: Elo) -> str:
    """``1132 [1050, 1215]``; without an interval where there are too few tasks."""
    if elo.low is None or elo.high is None:
        return f"{elo.rating:.0f}"
    return f"{elo.rating:.0f} [{elo.low:.0f}, {elo.high:.0f}]"


def _significant(test: Significance) -> list[str]:
    if test.tasks < LEAST_TASKS:
        return [
            f"With {_count(test.tasks, 'task')} nothing is claimed over tasks: a critical "
            f"difference and intervals of Elo take {LEAST_TASKS} or more."
        ]
    if len(test.tested) < LEAST_METHODS:
        return [
            f"Only {_count(len(test.tested), 'method')} ran on every task: a Friedman test takes "
            f"{LEAST_METHODS} or more."
        ]
    return [_friedman(test), *_sign_tests(test)]


def _friedman(test: Significance) -> str:
    asked = f"Of the {len(test.tested)} methods that ran on every task"
    p = p_is(test.friedman_p or 0.0)
    if test.critical_difference is None:
        return (
            f"{asked}, none is shown to differ from another in rank (Friedman, {p} is "
            f"not below {ALPHA})."
        )
    leaders = test.groups[0]
    behind = [m for m in test.tested if m not in leaders]
    distance = f"Nemenyi's critical difference of {test.critical_difference:.2f}"
    if not behind:
        return f"{asked}, none ranks worse than {leaders[0]} by more than {distance}."
    others = leaders[1:]
    rest = f"; {names(others)} {_are(others)} not" if others else ""
    return (
        f"{asked}, {names(behind)} {_are(behind)} shown to rank worse than {leaders[0]} (Friedman, "
        f"{p}; by more than {distance}){rest}."
    )


def _are(methods: Sequence[str]) -> str:
    return "is" if len(methods) == 1 else "are"


def _sign_tests(test: Significance) -> list[str]:
    if test.against is None or test.sign_test_needs is None:
        return []
    if not test.sign_tests:
        return [
            f"A sign test against {test.against} takes {test.sign_test_needs} tasks or more for so "
            f"many methods; there are {test.tasks}."
        ]
    better, worse = (
        [m for m, found in test.sign_tests.items() if found.verdict == verdict]
        for verdict in ("better", "worse")
    )
    said = f"Against {test.against} over tasks (sign test, Holm-corrected)"
    differ = f": better {names(better)}; worse {names(worse)}."
    return [
        said + (differ if better or worse else " no method is shown to differ."),
        *_only_all(test),
    ]


def _only_all(test: Significance) -> list[str]:
    """With few tasks for so many methods, nothing but winning or losing all of them is enough."""
    if (p := test.p_of_all_but_one) < ALPHA:
        return []
    return [
        f"With {test.tasks} tasks only who wins, or loses, every one that is no draw can be shown "
        f"to differ: {test.tasks - 1} won and 1 lost give p = {p:.2f}."
    ]


def sign_test_lists(test: Significance) -> dict[str, list[str]]:
    """By verdict, the surest first, with tasks won and lost: ``gated (12:0, p 0.029)``."""
    found: dict[str, list[str]] = {"better": [], "worse": [], "tie": []}
    for method, own in sorted(test.sign_tests.items(), key=lambda item: item[1].p):
        found[own.verdict].append(f"{method} ({own.wins}:{own.losses}, p {own.p_holm:.3f})")
    return {verdict: listed for verdict, listed in found.items() if listed}


def _missing(found: Across) -> list[str]:
    cells = [cell for method in found.methods for cell in method.cells.values()]
    absent = sum(cell.stands_in for cell in cells)
    if not absent:
        return []
    results = f"{absent} of {len(cells)} results {'is' if absent == 1 else 'are'} missing (†)"
    return [
        f"{results}: the method failed on that task, was not run there, or a search did not keep "
        f"it. Each counts as the majority baseline, so these methods rank lower than they might."
    ]


def _left_out(found: Across) -> list[str]:
    if not found.left_out:
        return []
    most = sorted(found.left_out, key=lambda m: (-found.left_out[m], m))
    return [f"Not ranked, for having a row on fewer than half of the tasks: {names(most)}."]


def _tuning(found: Across) -> list[str]:
    kinds = {budget for task in found.tasks for budget in task.budgets}
    if len(kinds) == 1:
        return [f"Tuning: {kinds.pop()}, on every task."]
    told = "the table by task says how each was tuned"
    if mixed := [task.task for task in found.tasks if len(task.budgets) > 1]:
        return [
            f"Tuning differs within {names(mixed)}, so that ranks compare effort there as well: "
            f"{told}."
        ]
    return [f"Tuning is alike within each task, and differs between tasks: {told}."]


def names(methods: Sequence[str]) -> str:
    """At most eight of them, and how many more there are."""
    shown = ", ".join(methods[:MOST_NAMES])
    more = len(methods) - MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown or NONE


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
