"""The Pareto front: what no other beats in cost and score at once."""

from collections.abc import Sequence

Point = tuple[float, float, str]
"""Cost, score, label."""


def front(points: Sequence[Point], *, higher_is_better: bool) -> list[Point]:
    """Those that no other beats in cost and score at once, cheapest first; equal ones all."""
    sign: int = 1 if higher_is_better else -1
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p[0], -sign * p[1], p[2])):
        if not kept or sign * point[1] > sign * kept[-1][1] or point[:2] == kept[-1][:2]:
            kept.append(point)
    return kept
