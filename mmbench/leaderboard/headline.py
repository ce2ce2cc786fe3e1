"""What a board says, in plain words: does fusion help on this task, and by how much."""

from collections.abc import Sequence

from mmbench.leaderboard.cells import encoders_cell, interval, score, signed, signed_interval
from mmbench.leaderboard.rank import Standing, preferred, rank
from mmbench.leaderboard.row import Gain, Row


def headline(rows: Sequence[Row]) -> list[str]:
    """Sentences about the rows of one task at its newest version: gain, ties, share of optimum."""
    current = versions(rows)[:1]
    newest = [row for row in rows if row.task_version in current]
    standings = [s for s in rank(newest) if s.rank is not None]
    if not standings:
        return ["No row has been run on three or more seeds yet: there is nothing to compare."]
    fused = preferred_fused(standings)
    best = standings[0].row
    return [
        *(
            _gain(fused, fused.gain, standings)
            if fused and fused.gain
            else [_no_gain(best, newest)]
        ),
        *_ties(standings),
        *_optimum(best),
    ]


def preferred_fused(standings: Sequence[Standing]) -> Row | None:
    """Of ranked rows that were compared with a single modality, the one that validation prefers.

    The first on test owes some of its place to luck there: what is claimed of fusion would be
    claimed too often.
    """
    ranked = (s.row for s in standings if s.rank is not None)
    return preferred(row for row in ranked if row.gain is not None)


def versions(rows: Sequence[Row]) -> list[str]:
    """The versions of the task's data, that of the newest row first."""
    newest = sorted(rows, key=lambda row: row.created, reverse=True)
    return list(dict.fromkeys(row.task_version for row in newest))


def _gain(row: Row, gain: Gain, standings: Sequence[Standing]) -> list[str]:
    size = signed_interval(gain["low"], gain["high"])
    if gain["low"] > 0:
        claim = f"Fusion helps on {row.task}: {signed(gain['mean'])} {row.metric} {size}"
    elif gain["high"] < 0:
        claim = f"Fusion hurts on {row.task}: {signed(gain['mean'])} {row.metric} {size}"
    else:
        claim = (
            f"Fusion is not shown to help on {row.task}: the gain of {signed(gain['mean'])} "
            f"{row.metric} {size} could be noise"
        )
    return [
        f"{claim} over the best single modality ({gain['over']}).",
        f"Validation prefers {_named(row)}: {row.metric} {score(row.main['mean'])} "
        f"{interval(row.main['low'], row.main['high'])} over {len(row.seeds)} seeds.",
        *_better_fused(row, standings),
        *_better_alone(row, gain, [s.row for s in standings]),
    ]


def _better_fused(row: Row, standings: Sequence[Standing]) -> list[str]:
    """The fusion that is first on test, if that can be seen in its figure."""
    first = next(s.row for s in standings if s.row.gain is not None)
    if (figure := score(first.main["mean"])) == score(row.main["mean"]):
        return []
    alike = _named(first) == _named(row)
    named = f"another {first.fusion} (row {first.id})" if alike else _named(first)
    return [f"On test {named} does better, {figure}; chosen by test, some of that is luck."]


def _better_alone(row: Row, gain: Gain, rows: Sequence[Row]) -> list[str]:
    """A single modality that does better on test than the one that validation chose.

    Only if it matters: what is left of the gain is below its interval.
    """
    alone = (r for r in rows if r.of_one_modality and not r.preview)
    best = max(alone, key=lambda r: r.sign * r.main["mean"], default=row)
    left = row.sign * (row.main["mean"] - best.main["mean"])
    if best is row or left >= gain["low"]:
        return []
    return [
        f"Validation chose {gain['over']}; on test {best.fusion} does better, "
        f"{score(best.main['mean'])}, which leaves {signed(left)}."
    ]


def fuses(rows: Sequence[Row]) -> bool:
    """Whether the task has several modalities that answer together."""
    return len(_modalities(rows)) != 1 and all(row.fuses for row in rows)


def _modalities(rows: Sequence[Row]) -> set[str]:
    return set().union(*(row.encoders for row in rows))


def _no_gain(best: Row, rows: Sequence[Row]) -> str:
    if len(modalities := _modalities(rows)) == 1:
        why = f"{best.task} has one modality, {modalities.pop()}: there is nothing to fuse."
    elif not best.fuses:
        why = f"On {best.task} one modality answers another: there is no gain of fusion to state."
    else:
        why = (
            f"Whether fusion helps on {best.task} is not known: no ranked row was compared with a "
            f"single modality."
        )
    return f"{why} The best row is {_named(best)}: {best.metric} {score(best.main['mean'])}."


def _ties(standings: Sequence[Standing]) -> list[str]:
    tied = sum(s.tied for s in standings)
    if not tied:
        return []
    rows = "One other row overlaps" if tied == 1 else f"{tied} other rows overlap"
    return [f"{rows} with the interval of the first (≈): the order is not established."]


def _optimum(best: Row) -> list[str]:
    if best.optimum is None or not best.higher_is_better or best.optimum <= 0:
        return []
    if best.main["low"] <= best.optimum <= best.main["high"]:
        reached = "the interval of the first row holds it"
    else:
        reached = f"the first row reaches {best.main['mean'] / best.optimum:.1%} of it"
    return [
        f"The best possible {best.metric} is known by construction, {score(best.optimum)}: "
        f"{reached}."
    ]


def _named(row: Row) -> str:
    return f"{row.fusion} ({encoders_cell(row)}, {row.head} head)"
