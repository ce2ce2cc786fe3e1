"""Average rank against latency: what a better place costs, over all tasks."""

from collections.abc import Sequence
from typing import Any

from mmbench.leaderboard.across import figures
from mmbench.leaderboard.across.summary import Across, MethodSummary
from mmbench.leaderboard.across.words import elo_cell
from mmbench.leaderboard.front import Point, front
from mmbench.leaderboard.site.charts import Chart, View, figure, label, title
from mmbench.leaderboard.site.names import names
from mmbench.leaderboard.site.trade_off import front_line, log_axis

FIRST = 5
"""Places that are named though others are faster and better."""


def rank_against_latency(found: Across) -> list[Chart]:
    """Methods whose latency was measured; no chart of fewer than two."""
    measured = [m for m in found.methods if m.latency_vs_concat]
    if len(measured) < 2:
        return []
    ratios = [m.latency_vs_concat or 0.0 for m in measured]
    points = [(m.latency_vs_concat or 0.0, m.average_rank, m.method) for m in measured]
    best = front(points, higher_is_better=False)
    margin = 0.08 * (max(r for _, r, _ in points) - min(r for _, r, _ in points)) or 0.1
    worst, first = max(r for _, r, _ in points) + margin, min(r for _, r, _ in points) - margin
    fused = [m for m in measured if not m.reference]
    yardsticks = [m for m in measured if m.reference]
    drawn = figure(
        [
            front_line(best),
            names(_worth_naming(measured, best), (min(ratios), max(ratios)), (worst, first)),
            *([_points(yardsticks, "reference")] if yardsticks else []),
            *([_points(fused, "fusion")] if fused else []),
        ],
        title("latency of one request over concat's", **log_axis(min(ratios), max(ratios))),
        title("average rank", range=[worst, first]),
        hovermode="closest",
    )
    caption = (
        "The upper left is best: first on every task is rank 1. The stepped line is the Pareto "
        "front: no method ranks better and is faster at once."
    )
    return [Chart("rank-latency", "Average rank × latency", caption, [View("latency", drawn)])]


def _worth_naming(measured: Sequence[MethodSummary], best: Sequence[Point]) -> list[Point]:
    """The front, then the first places."""
    first = [(m.latency_vs_concat or 0.0, m.average_rank, m.method) for m in measured[:FIRST]]
    return list(dict.fromkeys([*reversed(best), *first]))


def _points(methods: list[MethodSummary], name: str) -> dict[str, Any]:
    fused = name == "fusion"
    colour = "var(--c1)" if fused else "var(--soft)"
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [m.latency_vs_concat for m in methods],
        "y": [m.average_rank for m in methods],
        "marker": {
            "color": colour,
            "size": 10,
            "symbol": "circle" if fused else "diamond-open",
            "line": {"width": 1 if fused else 2, "color": "var(--raised)" if fused else colour},
        },
        "text": [_hover(m) for m in methods],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _hover(method: MethodSummary) -> str:
    return (
        f"<b>{label(method.method)}</b><br>average rank {figures.rank(method.average_rank)}, "
        f"Elo {elo_cell(method.elo)}<br>{figures.ratio(method.latency_vs_concat)} concat's latency"
    )
