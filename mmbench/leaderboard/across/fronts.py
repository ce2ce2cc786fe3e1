"""What accuracy costs on each task: Pareto fronts, and how much of the plane they cover.

Latency and memory are those of one machine: each hardware has fronts of its own.

The hypervolume (Zitzler & Thiele, IEEE Trans. Evolutionary Computation 1999) is the area that the
front dominates, up to a reference point: here the score of the majority baseline (of the worst
row, where there is none) at the dearest row's cost. It is given as a share of the rectangle from
there to the best score at the lowest cost, costs on a logarithmic axis: 1 if one row is best in
both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log10

from mmbench.leaderboard.across.entries import MAJORITY, SINGLE, Entries
from mmbench.leaderboard.front import front
from mmbench.leaderboard.row import Row

COSTS: dict[str, Callable[[Row], float | None]] = {
    "latency_ms_p50": lambda row: row.latency_ms_p50,
    "peak_memory_mib": lambda row: row.peak_memory_mib,
}


@dataclass(frozen=True, slots=True)
class Point:
    """A row in the plane of score and cost."""

    row: str
    method: str
    """What one modality says is called by its fusion: of many, one is the best."""
    cost: float
    score: float
    on_front: bool


@dataclass(frozen=True, slots=True)
class Front:
    """The rows of one task on one hardware; ``cost`` is a key of ``COSTS``."""

    task: str
    metric: str
    higher_is_better: bool
    hardware: str
    cost: str
    points: list[Point]
    """Cheapest first."""
    reference: tuple[float, float]
    """Cost and score that the hypervolume is measured from."""
    hypervolume: float | None
    """A share of 1; None where all rows cost the same, or none beats the reference."""


def fronts(entries: Sequence[Entries]) -> list[Front]:
    """By task, hardware and cost; costs that were not measured, or are 0, are left out."""
    found = []
    for here in entries:
        for hardware in sorted({row.hardware for row in here.everyone}):
            rows = [row for row in here.everyone if row.hardware == hardware]
            found += [drawn for cost in COSTS if (drawn := _front(here, rows, cost)) is not None]
    return found


def _front(here: Entries, rows: Sequence[Row], cost: str) -> Front | None:
    costs = {row.id: value for row in rows if (value := COSTS[cost](row))}
    if not costs:
        return None
    any_row = here.everyone[0]
    sign = any_row.sign
    scores = {row.id: row.main["mean"] for row in rows if row.id in costs}
    kept = front(
        [(costs[i], scores[i], i) for i in costs], higher_is_better=any_row.higher_is_better
    )
    on_front = {row_id for *_, row_id in kept}
    floor = here.rows[MAJORITY].main["mean"] if MAJORITY in here.rows else None
    named = {
        row.id: row.fusion if here.methods[row.id] == SINGLE else here.methods[row.id]
        for row in rows
    }
    worst = sign * min(sign * score for score in scores.values())
    reference = max(costs.values()), worst if floor is None else floor
    plane = [(log10(costs[i]), sign * scores[i]) for i in costs]
    return Front(
        task=here.task,
        metric=any_row.metric,
        higher_is_better=any_row.higher_is_better,
        hardware=rows[0].hardware,
        cost=cost,
        points=[
            Point(i, named[i], costs[i], scores[i], i in on_front)
            for i in sorted(costs, key=lambda i: (costs[i], i))
        ],
        reference=reference,
        hypervolume=covered(plane, (log10(reference[0]), sign * reference[1])),
    )


def covered(points: Sequence[tuple[float, float]], reference: tuple[float, float]) -> float | None:
    """Hypervolume over the rectangle from ``reference`` to the best cost and the best score."""
    width = reference[0] - min(cost for cost, _ in points)
    height = max(score for _, score in points) - reference[1]
    if width <= 0 or height <= 0:
        return None
    return hypervolume(points, reference) / (width * height)


def hypervolume(points: Sequence[tuple[float, float]], reference: tuple[float, float]) -> float:
    """Area between ``reference`` and all (cost, score) that cost less and score more than it."""
    area, height = 0.0, reference[1]
    for cost, score in sorted(points):
        if cost < reference[0] and score > height:
            area += (reference[0] - cost) * (score - height)
            height = score
    return area
