"""Short names of the points of one chart: the fusion, or what differs where all have the same."""

from collections.abc import Sequence

from mmbench.leaderboard.row import Row


def told_apart(rows: Sequence[Row]) -> list[str]:
    """The fusion of each; of one fusion the encoders, objective and head that are not everyone's.

    As of retrieval, whose every row is ``dual``.
    """
    if len({row.fusion for row in rows}) > 1:
        return [row.fusion for row in rows]
    parts = [[*row.encoders.values(), row.objective, row.head] for row in rows]
    common = set.intersection(*map(set, parts)) if parts else set()
    return [
        " · ".join(part for part in own if part not in common) or row.fusion
        for row, own in zip(rows, parts, strict=True)
    ]
