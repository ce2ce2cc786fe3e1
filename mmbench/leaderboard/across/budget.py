"""How much tuning stands behind rows: methods tuned unequally are not compared fairly."""

from collections.abc import Sequence

from mmbench.leaderboard.row import Row


def budgets(rows: Sequence[Row]) -> list[str]:
    """The distinct budgets of these rows, in words."""
    return sorted({budget(row) for row in rows})


def budget(row: Row) -> str:
    """``8 trials each``, ``48 trials shared by all``, or ``not tuned``; by the job that made it."""
    n = row.search.get("trials")
    trials = f"{n} trial{'' if n == 1 else 's'}"
    if row.search.get("comparison"):
        return f"{trials} each (comparison)"
    if row.search.get("study"):
        return f"{trials} shared by all (search)"
    return "not tuned (single run)"
