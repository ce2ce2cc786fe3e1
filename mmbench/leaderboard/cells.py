"""How one figure reads, in Markdown and on the terminal alike; full precision is in the CSV."""

from collections.abc import Sequence
from typing import Any

from mmbench.leaderboard.rank import Standing
from mmbench.leaderboard.row import Row

NONE = "–"
OVER_ANOTHER = (
    "over the best single modality of the search that found the row, which scores x; the other "
    "gains are over the best single modality of the board."
)
"""What ``over x`` beside a gain means."""
PREFERRED = (
    "of the rows with a gain, the best on validation. The headline is of this row: the first on "
    "test owes some of its place to luck."
)
"""What ``preferred`` beside a fusion means."""
SMALLEST_P = 0.001
DISTURBED = " ‡"
"""Stands beside a latency that was measured under a disturbance."""
DISTURBANCES = {
    "contended": "other work was using the cores",
    "thread-limited": "there were fewer cores than threads",
    "throttled": "the processor was slowed down",
    "unstable": "timings did not settle",
    "caches": "a repeated request was faster than a new one",
}
"""In words, the flags of a cost document that say how far its latency can be trusted."""


def p_value(p: float) -> str:
    return f"< {SMALLEST_P}" if p < SMALLEST_P else f"{p:.3f}"


def p_is(p: float) -> str:
    """As a sentence has it: ``p = 0.012``."""
    return f"p {p_value(p)}" if p < SMALLEST_P else f"p = {p_value(p)}"


def rank_cell(standing: Standing) -> str:
    """``1``, ``2 ≈`` when tied with the best, ``–`` when not ranked."""
    if standing.rank is None:
        return NONE
    return f"{standing.rank} ≈" if standing.tied else str(standing.rank)


def encoders_cell(row: Row) -> str:
    return " + ".join(f"{m}:{name}" for m, name in sorted(row.encoders.items())) or NONE


def fusion_cell(row: Row) -> str:
    return f"{row.fusion} (reference)" if row.reference else row.fusion


def score(value: float) -> str:
    """Three decimals; large errors, as of a regression, in thousands."""
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"


def signed(value: float) -> str:
    return f"+{score(value)}" if value >= 0 else f"−{score(-value)}"


def interval(low: float, high: float) -> str:
    return f"[{score(low)}, {score(high)}]"


def signed_interval(low: float, high: float) -> str:
    return f"[{signed(low)}, {signed(high)}]"


def gain_cell(standing: Standing) -> str:
    row = standing.row
    if row.gain is None:
        return NONE
    size = f"{signed(row.gain['mean'])} {signed_interval(row.gain['low'], row.gain['high'])}"
    return ", ".join(filter(None, [size + yardstick(standing), gain_verdict(row)]))


def yardstick(standing: Standing) -> str:
    """`` over 0.623`` where the gain is over another single modality than the board's best."""
    return "" if standing.yardstick is None else f" over {score(standing.yardstick)}"


def gain_verdict(row: Row) -> str:
    """What the interval of the gain says where fusion is not shown to help; otherwise empty."""
    if row.gain is None or row.gain["low"] > 0:
        return ""
    return "shown to hurt" if row.gain["high"] < 0 else "not shown to help"


def milliseconds(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def latency_cell(row: Row) -> str:
    """p50 / p95, marked if something disturbed them."""
    if row.latency_ms_p50 is None:
        return NONE
    both = f"{milliseconds(row.latency_ms_p50)} / {milliseconds(row.latency_ms_p95)}"
    return both + disturbed(row)


def disturbed(row: Row) -> str:
    """The mark beside its latency, if something disturbed it."""
    return DISTURBED if disturbances([row]) else ""


def disturbances(rows: Sequence[Row]) -> str:
    """What was going on while latencies of these rows were measured; empty if nothing was."""
    raised = [flag for row in rows if row.latency_ms_p50 is not None for flag in _flags(row)]
    return ", or ".join(text for flag, text in DISTURBANCES.items() if flag in raised)


def _flags(row: Row) -> list[Any]:
    """Those that concern a single request: it may have settled where larger batches had not.

    ``cost`` is free-form in a row's file: what is no flag is left out.
    """
    flags, latency = row.cost.get("flags"), row.cost.get("latency")
    single = latency.get("batch_1") if isinstance(latency, dict) else None
    settled = isinstance(single, dict) and single.get("warm_up_stable") is True
    listed = flags if isinstance(flags, list) else []
    return [flag for flag in listed if not (flag == "unstable" and settled)]


def disturbed_note(rows: Sequence[Row]) -> list[str]:
    """The line of a legend that explains the mark, where a row has it."""
    found = disturbances(rows)
    return [f"{DISTURBED.strip()} While this latency was measured {found}."] if found else []


def relative_cell(standing: Standing) -> str:
    return relative(standing.latency_vs_concat, standing.row, standing.concat)


def relative(ratio: float | None, row: Row, concat: Row | None) -> str:
    """Its latency over that of the concat row, marked if something disturbed either of them."""
    if ratio is None or concat is None:
        return NONE
    return f"{ratio:.2f}×" + (DISTURBED if disturbances([row, concat]) else "")


def memory_cell(row: Row) -> str:
    if row.peak_memory_mib is None:
        return NONE
    return f"{row.peak_memory_mib:,.{1 if row.peak_memory_mib < 100 else 0}f}"


def count(value: int) -> str:
    """``950``, ``12.3 k``, ``4.56 M``."""
    for limit, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return str(value)


def seeds_cell(row: Row) -> str:
    return f"{len(row.seeds)} ({row.level})"


def machines(rows: Sequence[Row]) -> dict[str, str]:
    """Each hardware to a letter from A, in order of appearance."""
    distinct = dict.fromkeys(row.hardware for row in rows)
    return {name: _letter(i) for i, name in enumerate(distinct)}


def _letter(i: int) -> str:
    return chr(ord("A") + i) if i < 26 else f"M{i + 1}"
