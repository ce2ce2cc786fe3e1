"""Short names of the points of one chart: the fusion, or what differs where all have the same."""

from collections.abc import Sequence

from mmbench.leaderboard.row import Row


def told_apart(rows: Sequence[Row]) -> list[str]:
    """The fusion of each; of one fusion the encoders, objective and head that are not everyone's.

    As of retrieval, whose every row is ``dual``. Rows that differ in settings only have their id.
    """
    if len({row.fusion for row in rows}) > 1:
        return [row.fusion for row in rows]
    parts = [[*row.encoders.values(), row.objective, row.head] for row in rows]
    common = set.intersection(*map(set, parts)) if parts else set()
    called = [" · ".join(part for part in own if part not in common) for own in parts]
    if len(rows) == 1:
        return [rows[0].fusion]
    return [
        name if called.count(name) == 1 else f"row {row.id}"
        for row, name in zip(rows, called, strict=True)
    ]
