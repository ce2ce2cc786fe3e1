"""Names beside the points of a chart, as many as there is room for; the hover names the others."""

from collections.abc import Sequence
from math import log10
from typing import Any

from mmbench.leaderboard.site.charts import label

Named = tuple[float, float, str]
"""Cost (above 0, on a logarithmic axis), score, name."""
Box = tuple[float, float, float, float]
"""Left, right, bottom, top, in pixels."""
MOST, LONGEST = 10, 24
"""Names in a chart, and characters of one."""
WIDTH, HEIGHT, LETTER, LINE = 430.0, 250.0, 7.0, 17.0
"""Pixels of a small chart's plane, of a letter and of a line: a wide chart has more room."""


def names(
    points: Sequence[Named], costs: tuple[float, float], scores: tuple[float, float]
) -> dict[str, Any]:
    """A trace of text, each to the upper left of its point.

    ``costs`` and ``scores`` are the ends of the axes, left or bottom first. The first points come
    first: a name that would lie on one before it, or outside, is left out.
    """
    shown: list[Named] = []
    taken: list[Box] = []
    for point in points:
        box = _box(point, costs, scores)
        free = not any(_overlap(box, other) for other in taken)
        if len(shown) < MOST and free and 0 <= box[2] <= HEIGHT:
            shown.append(point)
            taken.append(box)
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": [cost for cost, *_ in shown],
        "y": [score for _, score, _ in shown],
        "text": [label(name, LONGEST) for *_, name in shown],
        "textposition": "top left",
        "textfont": {"color": "var(--ink)"},
        "marker": {"size": 12, "color": "rgba(0,0,0,0)"},  # keeps names off the points
        "hoverinfo": "skip",
        "showlegend": False,
        "cliponaxis": False,
    }


def _box(point: Named, costs: tuple[float, float], scores: tuple[float, float]) -> Box:
    cost, score, name = point
    right = WIDTH * log10(cost / costs[0]) / (log10(costs[1] / costs[0]) or 1.0)
    bottom = HEIGHT * (score - scores[0]) / ((scores[1] - scores[0]) or 1.0)
    return right - LETTER * min(len(name), LONGEST), right, bottom, bottom + LINE


def _overlap(one: Box, other: Box) -> bool:
    left, right, bottom, top = one
    return left < other[1] and other[0] < right and bottom < other[3] and other[2] < top
