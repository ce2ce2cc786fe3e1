"""What heads the page of a task: does fusion help, how much, at what cost, how sure are we."""

from collections.abc import Sequence
from dataclasses import dataclass

from mmbench.leaderboard import cells
from mmbench.leaderboard.headline import fuses, headline, preferred_fused
from mmbench.leaderboard.rank import Standing
from mmbench.leaderboard.row import Gain, Row
from mmbench.leaderboard.site.board_table import row_page
from mmbench.leaderboard.site.verdict import NOTHING, Verdict, verdict


@dataclass(frozen=True, slots=True)
class Fact:
    """A question, its answer in a few signs, and what stands behind it."""

    question: str
    answer: str
    detail: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the page of a task says first."""

    verdict: Verdict
    claim: str
    rest: str
    facts: Sequence[Fact]
    best: Row | None
    """The row that all this is about: the fusion that validation prefers, or the best of all."""
    page: str


def answer(rows: Sequence[Row], standings: Sequence[Standing]) -> Answer:
    """``rows`` are all of the task, ``standings`` those of its newest version."""
    claim, *rest = headline(rows)
    ranked = [s for s in standings if s.rank is not None]
    fused = preferred_fused(standings)
    best = fused or (ranked[0].row if ranked else None)
    facts = [] if best is None else _facts(best, fused, ranked)
    return Answer(
        verdict(fused) if fused or fuses(rows) else NOTHING,
        claim.replace(", +", ",\u00a0+").replace(", −", ",\u00a0−"),  # an interval stays whole
        " ".join(rest),
        facts,
        best,
        row_page(best) if best else "",
    )


def _facts(best: Row, fused: Row | None, ranked: Sequence[Standing]) -> list[Fact]:
    gain = fused.gain if fused else None
    return [
        *([_gain(best, gain)] if gain else []),
        _cost(best, gain, ranked),
        _certainty(best, gain, ranked),
    ]


def _gain(row: Row, gain: Gain) -> Fact:
    size = cells.signed_interval(gain["low"], gain["high"])
    return Fact(
        "By how much?",
        cells.signed(gain["mean"]),
        f"{row.metric} {size} over {gain['over']}, the best single modality",
    )


def _cost(best: Row, gain: Gain | None, ranked: Sequence[Standing]) -> Fact:
    """Latency as a multiple of the single modality's on the same hardware, else in milliseconds."""
    p50 = best.latency_ms_p50
    p95 = f"p95 {cells.milliseconds(best.latency_ms_p95)} ms"
    if found := cells.disturbances([best]):
        p95 += f" (measured while {found})"
    size = f"{cells.memory_cell(best)} MiB peak; {cells.count(best.parameters)} parameters"
    alone = _alone(best, gain, ranked)
    if p50 is None:
        return Fact("At what cost?", cells.NONE, f"latency was not measured; {size}")
    if alone is None or not alone.latency_ms_p50:
        detail = f"for one request, median; {p95}; {size}"
        return Fact("At what cost?", f"{cells.milliseconds(p50)} ms", detail)
    times = f"{p50 / alone.latency_ms_p50:.1f}×"
    other = cells.milliseconds(alone.latency_ms_p50)
    own = f"{cells.milliseconds(p50)} ms against {other} ms for one request, median"
    detail = f"the latency of {alone.fusion}: {own}; {p95}; {size}"
    return Fact("At what cost?", times, detail)


def _alone(best: Row, gain: Gain | None, ranked: Sequence[Standing]) -> Row | None:
    """The row that the gain is over; if ``best`` does not say which, the first of that name."""
    if gain is None:
        return None
    same = (s.row for s in ranked if s.row.hardware == best.hardware)
    named = best.search.get("single")
    if named:
        return next((row for row in same if row.id == named["id"]), None)
    return next((row for row in same if row.fusion == gain["over"]), None)


def _certainty(best: Row, gain: Gain | None, ranked: Sequence[Standing]) -> Fact:
    seeds = f"{len(best.seeds)} seeds"
    basis = "intervals of 95 % over seeds and test samples"
    if gain is not None:
        where = "excludes" if gain["low"] > 0 or gain["high"] < 0 else "includes"
        basis = f"the gain's 95 % interval {where} zero (over seeds and test samples)"
    if ties := sum(s.tied for s in ranked):
        basis += f"; {ties} of {len(ranked) - 1} other rows overlap with the first"
    return Fact("How sure?", seeds, basis)
