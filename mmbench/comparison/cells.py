"""How one figure of a comparison reads, on the page and on the terminal alike."""

from collections.abc import Sequence

from mmbench.comparison.job import Outcome
from mmbench.comparison.verdicts import Against, Verdict
from mmbench.leaderboard.cells import (
    NONE,
    gain_verdict,
    p_value,
    score,
    signed,
    signed_interval,
)


def difference(against: Against | None) -> str:
    """``+0.012 [+0.004, +0.020]``, or a dash for what it is compared with."""
    if against is None:
        return NONE
    return f"{signed(against.mean)} {signed_interval(against.low, against.high)}"


def verdict(against: Against | None) -> str:
    """``better``, ``worse`` or ``tie``, with the corrected p-value."""
    return NONE if against is None else f"{against.verdict} (p {p_value(against.p_corrected)})"


def best_validation(v: Verdict) -> str:
    return score(v.best_after[-1]) if v.best_after else NONE


def headline(outcome: Outcome) -> list[str]:
    """What was found, in plain words."""
    contestants = [v for v in outcome.verdicts if not v.reference]
    leaders = [v for v in contestants if v.leads]
    lines = [_leading(leaders, contestants)]
    yardstick = next((v.yardstick.other for v in contestants if v.yardstick), None)
    if yardstick is not None:
        lines.append(_beyond(yardstick, contestants))
    return [*lines, *_against_single(contestants, outcome)]


def _against_single(contestants: Sequence[Verdict], outcome: Outcome) -> list[str]:
    """Who is not shown to beat the best single modality, and who is shown to be worse."""
    lines = []
    for verdict, words in (("not shown to help", "Not shown"), ("shown to hurt", "Shown not")):
        labels = [v.label for v in contestants if gain_verdict(outcome.rows[v.label]) == verdict]
        if labels:
            lines.append(f"{words} to beat the best single modality: {', '.join(labels)}.")
    return lines


def _leading(leaders: Sequence[Verdict], contestants: Sequence[Verdict]) -> str:
    best, others = contestants[0], len(contestants) - 1
    if not others:
        return f"{best.label} alone finished: there is nothing to compare it with."
    if len(leaders) == 1:
        beaten = contestants[1].label if others == 1 else f"each of the {others} others"
        return f"{best.label} is better than {beaten}."
    if others == 1:
        return f"{best.label} and {contestants[1].label} are not shown to differ."
    ties = "one" if len(leaders) == 2 else str(len(leaders) - 1)
    return (
        f"{best.label} has the best mean, {score(best.score)}; {ties} of the {others} others "
        f"{'is' if ties == 'one' else 'are'} not shown to be worse."
    )


def _beyond(yardstick: str, contestants: Sequence[Verdict]) -> str:
    """How many differ from the plain choice."""
    counts = {
        kind: sum(v.yardstick is not None and v.yardstick.verdict == kind for v in contestants)
        for kind in ("better", "tie", "worse")
    }
    return (
        f"Against {yardstick}, equally tuned: {counts['better']} better, {counts['tie']} not shown "
        f"to differ, {counts['worse']} worse."
    )
