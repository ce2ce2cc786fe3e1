"""Short names of the points of one chart: the fusion, or what differs where all have the same."""

from collections.abc import Sequence

from mmbench.leaderboard.row import Row


def told_apart(rows: Sequence[Row]) -> list[str]:
    """The fusion of each; of one fusion the encoders, objective and head that are not everyone's.

    As of retrieval, whose every row is ``dual``. Rows that differ in settings only have their id.
    """
    fusions = [row.fusion for row in rows]
    if len(rows) < 2 or len(set(fusions)) > 1:
        return fusions
    parts = [[*row.encoders.values(), row.objective, row.head] for row in rows]
    common = set.intersection(*map(set, parts))
    called = [" · ".join(part for part in own if part not in common) for own in parts]
    return [
        name if called.count(name) == 1 else f"row {row.id}"
        for row, name in zip(rows, called, strict=True)
    ]
