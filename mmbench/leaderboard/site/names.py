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
WIDTH, HEIGHT, EDGE, LETTER, LINE = 240.0, 200.0, 25.0, 7.0, 17.0
"""Pixels: a phone's plane, what it has to the left of all points, a letter, a line of text."""


def names(
    points: Sequence[Named], costs: tuple[float, float], scores: tuple[float, float]
) -> dict[str, Any]:
    """A trace of text, each to the upper left of its point, or right where there is no room.

    ``costs`` and ``scores`` are the ends of the axes, left or bottom first. The first points come
    first: a name that would lie on one before it, or outside, is left out.
    """
    shown: list[Named] = []
    sides: list[str] = []
    taken: list[Box] = []
    for point in points:
        side, box = _box(point, costs, scores)
        free = not any(_overlap(box, other) for other in taken)
        if len(shown) < MOST and free and 0 <= box[2] <= HEIGHT:
            shown.append(point)
            sides.append(side)
            taken.append(box)
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": [cost for cost, *_ in shown],
        "y": [score for _, score, _ in shown],
        "text": [label(name, LONGEST) for *_, name in shown],
        "textposition": sides,
        "textfont": {"color": "var(--ink)"},
        "marker": {"size": 12, "color": "rgba(0,0,0,0)"},  # keeps names off the points
        "hoverinfo": "skip",
        "showlegend": False,
        "cliponaxis": False,
    }


def _box(point: Named, costs: tuple[float, float], scores: tuple[float, float]) -> tuple[str, Box]:
    """On which side of its point a name lies, and where."""
    cost, score, name = point
    x = WIDTH * log10(cost / costs[0]) / (log10(costs[1] / costs[0]) or 1.0)
    bottom = HEIGHT * (score - scores[0]) / ((scores[1] - scores[0]) or 1.0)
    width = LETTER * min(len(name), LONGEST)
    if x - width < -EDGE:
        return "top right", (x, x + width, bottom, bottom + LINE)
    return "top left", (x - width, x, bottom, bottom + LINE)


def _overlap(one: Box, other: Box) -> bool:
    left, right, bottom, top = one
    return left < other[1] and other[0] < right and bottom < other[3] and other[2] < top
