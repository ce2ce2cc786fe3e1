"""Whether what a row says of its search agrees: budget, number of trials, how they ended."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from typing_extensions import TypedDict

from mmbench.errors import InvalidSpec
from mmbench.shape import read_as

STATES = ("finished", "pruned", "violated", "failed")
"""How a trial ends that counts against the budget; an interrupted one is tried again."""
MOST_GAPS = 10


class Trial(TypedDict):
    """One trial of the history."""

    number: int
    state: str
    value: float | None
    fusion: str | None
    seconds: float | None


class _Listed(TypedDict):
    history: list[Trial]


def check_search(search: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Problems and notes of a row's ``search``."""
    if "history" not in search:
        return [], []
    try:
        history = read_as(_Listed, json.dumps({"history": search["history"]}), "search")["history"]
    except InvalidSpec as error:
        return [str(error)], []
    numbers = [trial["number"] for trial in history]
    problems = [
        *([] if numbers == sorted(set(numbers)) else ["search.history lists a trial twice"]),
        *_values(history),
        *_trial(search, history),
        *(_compared(search, history) if "comparison" in search else _counted(search, history)),
    ]
    return problems, _left_out(numbers)


def _left_out(numbers: list[int]) -> list[str]:
    known = {n for n in numbers if n >= 0}
    last = max(known, default=-1)
    gaps = list(islice((n for n in range(last) if n not in known), MOST_GAPS))
    more = last + 1 - len(known) - len(gaps)
    said = f"{gaps} and {more} more" if more else str(gaps)
    return [f"trials {said} are not listed: they had not ended"] if gaps else []


def _values(history: Sequence[Trial]) -> list[str]:
    bad = [t["number"] for t in history if t["state"] == "finished" and t["value"] is None]
    return [f"trials {bad} finished without a value"] if bad else []


def _trial(search: Mapping[str, Any], history: Sequence[Trial]) -> list[str]:
    """The row's own trial, where it is known, is one that finished."""
    finished = [t["number"] for t in history if t["state"] == "finished"]
    if search.get("trial") in (None, *finished):
        return []
    return [f"search.trial is {search['trial']!r}, which search.history does not say finished"]


def _counted(search: Mapping[str, Any], history: Sequence[Trial]) -> list[str]:
    """A single run has no search to count; it says only that there was no trial."""
    counts = Counter(trial["state"] for trial in history)
    found = {state: counts[state] for state in STATES} | {"trials": sum(counts[s] for s in STATES)}
    return [
        f"search.{name} is {search.get(name)!r}, but search.history lists {n}"
        for name, n in found.items()
        if search.get(name, None if history else 0) != n
    ]


def _compared(search: Mapping[str, Any], history: Sequence[Trial]) -> list[str]:
    """All contestants have one budget; one that has nothing to tune is trained once."""
    budget = search.get("trials")
    if not isinstance(budget, int):
        return [f"search.trials is the budget of each contestant; got {budget!r}"]
    if len(history) in (1, budget):
        return []
    return [f"the budget is {budget} trials, but search.history lists {len(history)}"]
