"""Whether what a row says of its search agrees: budget, number of trials, how they ended."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

STATES = ("finished", "pruned", "violated", "failed")
"""How a trial ends that counts against the budget; an interrupted one is tried again."""
FIELDS = frozenset({"number", "state", "value", "fusion", "seconds"})


def check_search(search: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Problems and notes of a row's ``search``."""
    if "history" not in search:
        return [], ["an older row: the trials of its search are not listed"]
    history = search["history"]
    if not isinstance(history, list) or any(set(t) != FIELDS for t in history):
        return [f"search.history lists trials, each with {', '.join(sorted(FIELDS))}"], []
    numbers = [trial["number"] for trial in history]
    problems = [
        *([] if numbers == sorted(set(numbers)) else ["search.history lists a trial twice"]),
        *_values(history),
        *_trial(search, history),
        *(_compared(search, history) if "comparison" in search else _counted(search, history)),
    ]
    return problems, _left_out(numbers)


def _left_out(numbers: list[int]) -> list[str]:
    gaps = sorted(set(range(max(numbers, default=-1) + 1)) - set(numbers))
    return [f"trials {gaps} are not listed: they had not ended"] if gaps else []


def _values(history: list[dict[str, Any]]) -> list[str]:
    bad = [t["number"] for t in history if t["state"] == "finished" and t["value"] is None]
    return [f"trials {bad} finished without a value"] if bad else []


def _trial(search: Mapping[str, Any], history: list[dict[str, Any]]) -> list[str]:
    """The row's own trial, where it is known, is one that finished."""
    finished = [t["number"] for t in history if t["state"] == "finished"]
    if search.get("trial") in (None, *finished):
        return []
    return [f"search.trial is {search['trial']!r}, which search.history does not say finished"]


def _counted(search: Mapping[str, Any], history: list[dict[str, Any]]) -> list[str]:
    counts = Counter(trial["state"] for trial in history)
    found = {state: counts[state] for state in STATES} | {"trials": sum(counts[s] for s in STATES)}
    return [
        f"search.{name} is {search[name]!r}, but search.history lists {n}"
        for name, n in found.items()
        if name in search and search[name] != n
    ]


def _compared(search: Mapping[str, Any], history: list[dict[str, Any]]) -> list[str]:
    """All contestants have one budget; one that has nothing to tune is trained once."""
    if len(history) in (1, search["trials"]):
        return []
    return [f"the budget is {search['trials']} trials, but search.history lists {len(history)}"]
