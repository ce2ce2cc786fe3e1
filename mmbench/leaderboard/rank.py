"""Order rows on a board: what may be compared with what, and what is a tie."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mmbench.errors import InvalidParameter, did_you_mean
from mmbench.leaderboard.row import Row

SORTS = ("accuracy", "latency", "memory", "parameters")
"""``accuracy`` is the task's main metric, whatever its name; the others are costs."""
OF_THE_MACHINE = frozenset({"latency", "memory"})
"""Costs that depend on the hardware; the number of parameters does not."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A row and its place among the rows that it may be compared with."""

    row: Row
    rank: int | None
    """From 1, equal figures sharing a place; None for a preview or a figure not measured."""
    tied: bool
    """Not the best, but its interval overlaps that of the best: the order may be noise."""
    group: str
    """The hardware, where costs are ranked; otherwise empty."""
    latency_vs_concat: float | None
    """Median latency over that of the concat row on the same hardware."""
    concat: Row | None
    """That concat row."""
    yardstick: float | None
    """What the single modality scores that its gain is over, where that is not the board's."""


def rank(rows: Sequence[Row], by: str = "accuracy") -> list[Standing]:
    """Best first, within a task at a version; costs also within one hardware.

    Rows of a single seed, and rows whose figure was not measured, follow without a rank.
    """
    import pandas as pd

    if by not in SORTS:
        raise InvalidParameter(
            f"Rows cannot be sorted by {by!r}.{did_you_mean(by, SORTS)} "
            f"Choose from {', '.join(SORTS)}."
        )
    if not rows:
        return []
    frame = pd.DataFrame([_sort_keys(row, by) for row in rows])
    board = ["task", "version", "group"]
    ranked = frame[frame["cost"].notna() & ~frame["preview"]]
    frame["rank"] = ranked.groupby(board)["cost"].rank(method="min")
    frame = frame.sort_values([*board, "rank", "preview", "cost", "id"], na_position="last")
    standings: list[Standing] = []
    references = Concats(rows)
    for _, part in frame.groupby(board, sort=False):
        places = list(part["rank"])
        standings += _standings([rows[int(i)] for i in part.index], places, by, references)
    return standings


def _sort_keys(row: Row, by: str) -> dict[Hashable, Any]:
    """``cost`` is the figure with its sign set so that less is better."""
    cost = figure(row, by)
    if by == "accuracy" and row.higher_is_better and cost is not None:
        cost = -cost
    return {
        "task": row.task,
        "version": row.task_version,
        "group": _group(row, by),
        "cost": float("nan") if cost is None else float(cost),
        "preview": row.preview,
        "id": row.id,
    }


def figure(row: Row, by: str) -> float | None:
    """What ``by`` sorts: a score, milliseconds, MiB or a count."""
    figures = {
        "accuracy": row.main["mean"],
        "latency": row.latency_ms_p50,
        "memory": row.peak_memory_mib,
        "parameters": row.parameters,
    }
    return figures[by]


def _group(row: Row, by: str) -> str:
    return row.hardware if by in OF_THE_MACHINE else ""


def _standings(
    part: Sequence[Row], ranks: Sequence[float], by: str, concats: "Concats"
) -> list[Standing]:
    best, singles = part[0], Singles(part)  # ranked rows come first
    return [
        Standing(
            row=row,
            rank=None if place != place else int(place),  # NaN: not ranked
            tied=by == "accuracy" and place == place and row is not best and overlap(row, best),
            group=_group(row, by),
            latency_vs_concat=concats.ratio(row),
            concat=concats.of(row),
            yardstick=singles.other_than_best(row),
        )
        for row, place in zip(part, ranks, strict=True)
    ]


def overlap(a: Row, b: Row) -> bool:
    """The intervals of the main metric share a value."""
    return a.main["low"] <= b.main["high"] and b.main["low"] <= a.main["high"]


def on_validation(row: Row) -> float:
    """How well it does where choices are made; more is better."""
    return row.sign * row.validation["mean"]


def preferred(rows: Iterable[Row]) -> Row | None:
    """The row that does best on validation; the earlier of equals."""
    return max(rows, key=on_validation, default=None)


class Singles:
    """Single modalities of one board: what each row's gain is over.

    Every search compares with the best single modality that it knew. On a board of several searches
    that need not be the best of the board.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self._known = {r.id: r for r in rows if r.of_one_modality}
        self._best = preferred(r for r in self._known.values() if not r.preview)

    def other_than_best(self, row: Row) -> float | None:
        """What the single modality scores that the gain is over; None if it is the board's."""
        named = row.search.get("single")
        over = self._known.get(named["id"]) if row.gain and named else None
        return None if over is None or over is self._best else over.main["mean"]


def plainest_first(row: Row) -> tuple[bool, float, str]:
    """A key: among yardsticks the plain one counts, of several the best by validation."""
    return row.objective != "plain", -on_validation(row), row.id


class Concats:
    """The concat rows that were timed, to compare latencies with.

    Among several on the same task and hardware the one with the same encoders counts, then a plain
    one, then the one that validation prefers.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        timed = [row for row in rows if row.fusion == "concat" and row.latency_ms_p50]
        self._any: dict[Hashable, Row] = {}
        self._own: dict[Hashable, Row] = {}
        for row in sorted(timed, key=plainest_first):
            self._any.setdefault(_bench(row), row)
            self._own.setdefault((_bench(row), _encoders(row)), row)

    def of(self, row: Row) -> Row | None:
        """The one that a row is compared with."""
        return self._own.get((_bench(row), _encoders(row))) or self._any.get(_bench(row))

    def ratio(self, row: Row) -> float | None:
        """Median latency over that of the concat row; None if either was not measured."""
        concat = self.of(row)
        if concat is None or row.latency_ms_p50 is None:
            return None
        return row.latency_ms_p50 / (concat.latency_ms_p50 or 1.0)


def latency_vs_concat(row: Row, rows: Sequence[Row]) -> float | None:
    """The ratio of one row, where all are not wanted."""
    return Concats(rows).ratio(row)


def _bench(row: Row) -> Hashable:
    return row.task, row.task_version, row.hardware


def _encoders(row: Row) -> Hashable:
    return tuple(sorted(row.encoders.items()))
