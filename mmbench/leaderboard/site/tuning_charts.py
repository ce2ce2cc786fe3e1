"""What searching longer brought: the best validation score after n trials."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from mmbench.leaderboard.row import Row
from mmbench.leaderboard.site.charts import SERIES, Chart, View, curve, figure, label, title

FINISHED = "finished"


def search_curves(rows: Sequence[Row]) -> list[Chart]:
    """Best so far by trial, a line for each search that made the rows; every trial as a dot."""
    histories: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        history = _readable(row.search.get("history"))
        if history:
            histories.setdefault(str(row.search.get("study") or row.fusion), history)
    if not histories:
        return []
    metric, better = rows[0].metric, max if rows[0].higher_is_better else min
    data: list[dict[str, Any]] = []
    for i, (study, history) in enumerate(list(histories.items())[:SERIES]):
        numbers = [t["number"] for t in history]
        best = list(accumulate((t["value"] for t in history), better))
        step = curve(i, study, numbers, best, mode="lines")
        step["line"]["shape"] = "hv"
        data += [step, _trials(i, history)]
    drawn = figure(
        data, title("trial"), title(f"{metric} on validation"), showlegend=len(histories) > 1
    )
    caption = (
        "Each dot is a finished trial on validation; the line is the best so far. The best of many "
        "is too good: only fresh seeds on test rank above."
    )
    return [Chart("search", "Best after n trials", caption, [View("search", drawn)])]


def search_behind(row: Row) -> list[Chart]:
    """The trials of the search that found the row, its own one marked where that is known."""
    history = _readable(row.search.get("history"))
    if not history:
        return []
    numbers, values = [t["number"] for t in history], [t["value"] for t in history]
    best = list(accumulate(values, max if row.higher_is_better else min))
    step = curve(0, "best so far", numbers, best, mode="lines")
    step["line"]["shape"] = "hv"
    own = [t for t in history if t["number"] == row.search.get("trial")]
    drawn = figure(
        [step, _trials(0, history), *([_own(own)] if own else [])],
        title("trial"),
        title(f"{row.metric} on validation"),
    )
    caption = (
        f"{_ends(row.search['history'])} The line is the best so far on validation, with the "
        f"search's own seed{'; the ring is this row' if own else ''}."
    )
    return [Chart("search", "The search behind it", caption, [View("search", drawn)])]


def _ends(history: Sequence[Any]) -> str:
    """Such as ``12 of 14 trials finished; 2 pruned.``."""
    states = Counter(str(t.get("state")) for t in history if isinstance(t, dict))
    others = ", ".join(f"{n} {state}" for state, n in states.items() if state != FINISHED)
    said = f"{states[FINISHED]} of {states.total()} trials finished"
    return f"{said}; {others}." if others else f"{said}."


def _own(trials: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    dots = curve(1, "this row", [t["number"] for t in trials], [t["value"] for t in trials])
    ring = {"size": 15, "symbol": "circle-open", "line": {"width": 2.5, "color": "var(--c2)"}}
    return dots | {"mode": "markers", "marker": dots["marker"] | ring}


def _readable(history: Any) -> list[Mapping[str, Any]]:
    """Trials that have a score; ``search`` is free-form, so strangers may write anything there."""
    if not isinstance(history, list):
        return []
    return [
        trial
        for trial in history
        if isinstance(trial, dict)
        and isinstance(trial.get("number"), int)
        and isinstance(trial.get("value"), int | float)
        and trial.get("state") == FINISHED
    ]


def _trials(i: int, history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    dots = curve(i, "trial", [t["number"] for t in history], [t["value"] for t in history])
    dots["marker"] |= {"size": 6, "opacity": 0.55}
    return dots | {
        "mode": "markers",
        "showlegend": False,
        "text": [label(str(t.get("fusion", ""))) for t in history],
        "hovertemplate": "trial %{x}: %{text}<br>%{y:.4f}<extra></extra>",
    }


def best_after(curves: Mapping[str, Sequence[float]], shown: Sequence[str], metric: str) -> Chart:
    """Expected best score after n trials: the ``shown`` in colour, the others thin and grey."""
    data = []
    for name, values in curves.items():
        if name not in shown:
            grey = curve(0, name, range(1, len(values) + 1), values, mode="lines", showlegend=False)
            data.append(grey | {"line": {"color": "var(--line)", "width": 1}})
    for i, name in enumerate(shown[:SERIES]):
        data.append(curve(i, name, range(1, len(curves[name]) + 1), curves[name]))
    drawn = figure(data, title("tuning trials", dtick=1), title(f"{metric} on validation"))
    caption = (
        "The best validation score expected after n trials: the defaults, then random settings "
        "that all share."
    )
    return Chart("best-after-n", "What tuning brought", caption, [View("tuning", drawn)])
