"""Score against latency and against memory, with the Pareto front."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import floor, log10
from typing import Any

from mmbench.leaderboard import cells
from mmbench.leaderboard.front import Point, front
from mmbench.leaderboard.rank import Standing
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.site.charts import Chart, Figure, View, figure, label, title

Cost = Callable[[Row], float | None]

MOST_BARS = 40
"""Rows up to which every point has its interval; beyond, the hover says it."""
COSTS: Sequence[tuple[str, str, Cost]] = (
    ("latency", "latency of one request, p50, ms", lambda row: row.latency_ms_p50),
    ("memory", "peak memory of one request, MiB", lambda row: row.peak_memory_mib),
)


def trade_offs(standings: Sequence[Standing], link: Callable[[Row], str]) -> list[Chart]:
    """A chart for each cost, with a view for each hardware: costs of two are never compared.

    Ranked rows only. ``link`` is where a click on a point leads.
    """
    ranked = [s for s in standings if s.rank is not None]
    charts = []
    for name, axis, cost in COSTS:
        views = [
            View(machine, _scatter(there, cost, axis, link))
            for machine, _ in Counter(s.row.hardware for s in ranked).most_common()
            if len(there := _measured(ranked, machine, cost)) > 1
        ]
        if views:
            heading = f"{ranked[0].row.metric} × {name}"
            charts.append(
                Chart(f"score-{name}", heading, _caption(ranked[0].row), views, "Hardware")
            )
    return charts


def _measured(standings: Sequence[Standing], machine: str, cost: Cost) -> list[Standing]:
    return [s for s in standings if s.row.hardware == machine and (cost(s.row) or 0.0) > 0]


def _caption(row: Row) -> str:
    side = "upper" if row.higher_is_better else "lower"
    return (
        f"The {side} left is best. Bars are 95 % intervals; the stepped line is the Pareto front: "
        "no row is better and cheaper at once. A point leads to its row."
    )


def _scatter(
    standings: Sequence[Standing], cost: Cost, axis: str, link: Callable[[Row], str]
) -> Figure:
    row = standings[0].row
    fused = [s for s in standings if not s.row.reference]
    yardsticks = [s for s in standings if s.row.reference]
    bars = len(standings) <= MOST_BARS
    data = [
        _front(standings, cost),
        *([_points(yardsticks, cost, link, "reference", bars=bars)] if yardsticks else []),
        *([_points(fused, cost, link, "fusion", bars=bars)] if fused else []),
    ]
    costs = [cost(s.row) or 0.0 for s in standings]
    return figure(
        data,
        title(axis, **log_axis(min(costs), max(costs))),
        title(f"{row.metric} on test"),
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
        "range": [log10(low) - 1.6 * margin, log10(high) + margin],
        "tickvals": ticks,
        "ticktext": [f"{tick:,g}" for tick in ticks],
    }


def _front(standings: Sequence[Standing], cost: Cost) -> dict[str, Any]:
    names = {s.row.id: s.row.fusion for s in standings}
    points = [(cost(s.row) or 0.0, s.row.main["mean"], s.row.id) for s in standings]
    best = front(points, higher_is_better=standings[0].row.higher_is_better)
    return front_line(best, names)


def front_line(best: Sequence[Point], names: Mapping[str, str]) -> dict[str, Any]:
    """A front as steps, its points named by their labels' ``names``."""
    return {
        "type": "scatter",
        "mode": "lines+markers+text",
        "name": "Pareto front",
        "x": [x for x, *_ in best],
        "y": [y for _, y, _ in best],
        "text": _apart(best, names),
        "textposition": "top left",
        "marker": {"size": 13, "color": "rgba(0,0,0,0)"},  # keeps names off the points
        "textfont": {"color": "var(--ink)"},
        "line": {"shape": "hv", "color": "var(--soft)", "width": 1.5, "dash": "dot"},
        "hoverinfo": "skip",
        "cliponaxis": False,
    }


def _apart(best: Sequence[Point], names: Mapping[str, str]) -> list[str]:
    """The names of the front, but not where one would lie on the one before."""
    width = log10(best[-1][0] / best[0][0]) or 1.0
    height = abs(best[-1][1] - best[0][1]) or 1.0
    shown: list[str] = []
    last: Point | None = None
    for point in best:
        far = last is None or (
            log10(point[0] / last[0]) > 0.3 * width or abs(point[1] - last[1]) > 0.1 * height
        )
        shown.append(label(names[point[2]], 24) if far else "")
        last = point if far else last
    return shown


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
            "size": 10,
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
