"""Score against latency and against memory, with the Pareto front."""

from collections import Counter
from collections.abc import Callable, Sequence
from math import floor, log10
from typing import Any

from mmbench.leaderboard import cells
from mmbench.leaderboard.front import Point, front
from mmbench.leaderboard.rank import Standing
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.site.charts import Chart, Figure, View, figure, label, title
from mmbench.leaderboard.site.names import names
from mmbench.leaderboard.site.told_apart import told_apart

Cost = Callable[[Row], float | None]

MOST_BARS = 40
"""Rows up to which every point has its interval; beyond, the hover says it."""
FAR = 0.5
"""Of many rows, references are left outside if the fusions would have less of the height."""
COSTS: Sequence[tuple[str, str, Cost]] = (
    ("latency", "latency of one request, p50, ms", lambda row: row.latency_ms_p50),
    ("memory", "peak memory of one request, MiB", lambda row: row.peak_memory_mib),
)


def trade_offs(standings: Sequence[Standing], link: Callable[[Row], str]) -> list[Chart]:
    """A chart for each cost, with a view for each hardware: costs of two are never compared.

    Ranked rows only. ``link`` is where a click on a point leads.
    """
    ranked = [s for s in standings if s.rank is not None]
    many = max(Counter(s.row.hardware for s in ranked).values(), default=0) > MOST_BARS
    charts = []
    for name, axis, cost in COSTS:
        views = [
            View(machine, _scatter(there, cost, axis, link))
            for machine, _ in Counter(s.row.hardware for s in ranked).most_common()
            if len(there := _measured(ranked, machine, cost)) > 1
        ]
        if views:
            heading = f"{ranked[0].row.metric} × {name}"
            caption = _caption(ranked[0].row, many=many)
            charts.append(Chart(f"score-{name}", heading, caption, views, "Hardware"))
    return charts


def _measured(standings: Sequence[Standing], machine: str, cost: Cost) -> list[Standing]:
    return [s for s in standings if s.row.hardware == machine and (cost(s.row) or 0.0) > 0]


def _caption(row: Row, *, many: bool) -> str:
    side = "upper" if row.higher_is_better else "lower"
    bars = "" if many else " Bars are 95 % intervals."
    outside = " References may lie outside: press twice to see all." if many else ""
    return (
        f"The {side} left is best.{bars} The stepped line is the Pareto front: no row is better "
        f"and cheaper at once. A point leads to its row.{outside}"
    )


def _scatter(
    standings: Sequence[Standing], cost: Cost, axis: str, link: Callable[[Row], str]
) -> Figure:
    row = standings[0].row
    fused = [s for s in standings if not s.row.reference]
    yardsticks = [s for s in standings if s.row.reference]
    bars = len(standings) <= MOST_BARS
    costs = [cost(s.row) or 0.0 for s in standings]
    scores = _score_axis(standings, bars=bars)
    points = [(x, s.row.main["mean"], s.row.id) for x, s in zip(costs, standings, strict=True)]
    best = front(points, higher_is_better=row.higher_is_better)
    data = [
        front_line(best),
        _names(best, standings, cost, costs, scores),
        *([_points(yardsticks, cost, link, "reference", bars=bars)] if yardsticks else []),
        *([_points(fused, cost, link, "fusion", bars=bars)] if fused else []),
    ]
    return figure(
        data,
        title(axis, **log_axis(min(costs), max(costs))),
        title(f"{row.metric} on test", range=list(scores)),
        hovermode="closest",
    )


def log_axis(low: float, high: float) -> dict[str, Any]:
    """From the least to the greatest with a margin, ticks at 1, 2 and 5 times powers of ten."""
    margin = 0.08 * max(log10(high / low), 0.3)
    powers = range(floor(log10(low)) - 1, floor(log10(high)) + 2)
    ticks = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    if high / low < 4:  # too few of these would be inside
        ticks = [float(f"{low * (high / low) ** (i / 4):.2g}") for i in range(5)]
    return {
        "type": "log",
        "range": [log10(low) - 2.2 * margin, log10(high) + margin],
        "tickvals": ticks,
        "ticktext": [f"{tick:,g}" for tick in ticks],
    }


def front_line(best: Sequence[Point]) -> dict[str, Any]:
    """A Pareto front as steps."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "Pareto front",
        "x": [x for x, *_ in best],
        "y": [y for _, y, _ in best],
        "line": {"shape": "hv", "color": "var(--soft)", "width": 1.5, "dash": "dot"},
        "hoverinfo": "skip",
        "cliponaxis": False,
    }


def _score_axis(standings: Sequence[Standing], *, bars: bool) -> tuple[float, float]:
    """The ends of the axis: those of all rows, or of the fusions if references lie far off."""
    everyone = _span(standings, bars=bars)
    fused = _span([s for s in standings if not s.row.reference] or standings, bars=bars)
    near = fused[1] - fused[0] < FAR * (everyone[1] - everyone[0])
    low, high = fused if near and len(standings) > MOST_BARS else everyone
    margin = 0.08 * (high - low) or 0.01
    return low - margin, high + 1.5 * margin


def _span(standings: Sequence[Standing], *, bars: bool) -> tuple[float, float]:
    mains = [s.row.main for s in standings]
    return (
        min(m["low"] if bars else m["mean"] for m in mains),
        max(m["high"] if bars else m["mean"] for m in mains),
    )


def _names(
    best: Sequence[Point],
    standings: Sequence[Standing],
    cost: Cost,
    costs: Sequence[float],
    scores: tuple[float, float],
) -> dict[str, Any]:
    """Of the front and of the leaders: those that are first or tied with it."""
    by_id = {s.row.id: s for s in standings}
    leaders = [s.row.id for s in standings if s.rank == 1 or s.tied]
    chosen = dict.fromkeys([*(i for *_, i in reversed(best)), *leaders])
    rows = [by_id[i].row for i in chosen]
    called = dict(zip(chosen, told_apart(rows), strict=True))
    points = [(cost(row) or 0.0, row.main["mean"], called[row.id]) for row in rows]
    return names(points, (min(costs), max(costs)), scores)


def _points(
    standings: Sequence[Standing], cost: Cost, link: Callable[[Row], str], name: str, *, bars: bool
) -> dict[str, Any]:
    mains = [s.row.main for s in standings]
    fused = name == "fusion"
    colour = "var(--c1)" if fused else "var(--soft)"
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [cost(s.row) for s in standings],
        "y": [main["mean"] for main in mains],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [main["high"] - main["mean"] for main in mains],
            "arrayminus": [main["mean"] - main["low"] for main in mains],
            "color": colour,
            "thickness": 1,
            "width": 0,
            "visible": bars,
        },
        "marker": {
            "color": colour,
            "size": 10 if bars else 8,
            "symbol": "circle" if fused else "diamond-open",
            "line": {"width": 1 if fused else 2, "color": "var(--raised)" if fused else colour},
        },
        "customdata": [_hover(s, link(s.row)) for s in standings],
        "hovertemplate": "<b>%{customdata[0]}</b><br>%{customdata[1]}<br><br>%{customdata[2]}<br>"
        "%{customdata[3]}<br>%{customdata[4]}<extra></extra>",
    }


def _hover(standing: Standing, url: str) -> list[str]:
    """Name, parts, score, latency, memory; then where a click leads."""
    row, main = standing.row, standing.row.main
    return [
        label(f"{cells.rank_cell(standing)}  {row.fusion}"),
        label(f"{cells.encoders_cell(row)}, {row.head} head, {row.objective}", 70),
        label(
            f"{row.metric} {cells.score(main['mean'])} {cells.interval(main['low'], main['high'])}"
        ),
        f"p50 / p95 {cells.latency_cell(row)} ms, {cells.relative_cell(standing)} concat",
        f"{cells.memory_cell(row)} MiB, {cells.count(row.parameters)} parameters",
        url,
    ]
