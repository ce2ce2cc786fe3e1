"""How much tuning stands behind rows: methods tuned unequally are not compared fairly."""

from collections.abc import Sequence

from mmbench.leaderboard.row import Row


def budgets(rows: Sequence[Row]) -> list[str]:
    """The distinct budgets of these rows, in words."""
    return sorted({budget(row) for row in rows})


def budget(row: Row) -> str:
    """``8 trials each``, ``48 trials shared by all``, or ``not tuned``; by the job that made it."""
    trials = row.search.get("trials")
    if row.search.get("comparison"):
        return f"{trials} trials each (comparison)"
    if row.search.get("study"):
        return f"{trials} trials shared by all (search)"
    return "not tuned (single run)"
