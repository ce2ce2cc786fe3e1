"""The lines of a board: each figure as it is shown, and in full for sorting and for machines."""

from collections.abc import Sequence
from dataclasses import dataclass

from mmbench.leaderboard import cells
from mmbench.leaderboard.front import front
from mmbench.leaderboard.headline import preferred_fused
from mmbench.leaderboard.rank import Standing
from mmbench.leaderboard.row import LEVELS, Row
from mmbench.leaderboard.site.verdict import Verdict, verdict
from mmbench.leaderboard.site.whisker import Scale, Whisker, scale


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; it sorts its column."""

    key: str
    title: str
    hint: str
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure under its column's key."""

    key: str
    title: str
    value: float | int | str | None
    """Unrounded, as in the row's JSON; what is sorted."""
    text: str
    tag: str = ""
    """A word beside the figure."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table."""

    row: Row
    standing: Standing
    page: str
    """Path of the row's own page."""
    score: Whisker
    gain: Whisker | None
    verdict: Verdict
    front: bool
    """No ranked row of its hardware is better and faster at once."""
    preferred: bool
    """The one that the headline is of."""
    figures: Sequence[Cell]
    words: str
    """What the filter looks in."""


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one task at one version; rows of different versions are never compared."""

    version: str
    columns: Sequence[Column]
    silent: frozenset[str]
    """Keys of columns that are left out, for they would say nothing of any row."""
    lines: Sequence[Line]
    machines: dict[str, str]
    """Hardware to its letter."""
    levels: Sequence[str]
    """Those that its rows have, the surest first."""
    references: bool
    yardsticks: bool
    """Some gain is over another single modality than the board's best."""


def row_page(row: Row) -> str:
    return f"rows/{row.task}/{row.id}.html"


def board_table(standings: Sequence[Standing]) -> Table:
    """The table of standings of one task and version, in their order."""
    rows = [s.row for s in standings]
    letters = cells.machines(rows)
    scores = scale(_main(row) for row in rows)
    gains = scale(((g["low"], g["mean"], g["high"]) for row in rows if (g := row.gain)), zero=True)
    best, chosen = fast_and_good(standings), preferred_fused(standings)
    silent = _silent(standings)
    return Table(
        version=rows[0].task_version,
        columns=[c for c in _columns(rows[0].metric) if c.key not in silent],
        silent=silent,
        lines=[_line(s, (scores, gains), best, chosen, letters) for s in standings],
        machines=letters,
        levels=[
            level
            for level in (*dict(LEVELS).values(), "preview")
            if level in {r.level for r in rows}
        ],
        references=any(row.reference for row in rows),
        yardsticks=any(s.yardstick is not None for s in standings),
    )


def fast_and_good(standings: Sequence[Standing]) -> set[str]:
    """Ids of the rows on the Pareto front of score and latency, of each hardware apart."""
    ranked = [s.row for s in standings if s.rank is not None]
    found = set()
    for hardware in {row.hardware for row in ranked}:
        points = [
            (row.latency_ms_p50, row.main["mean"], row.id)
            for row in ranked
            if row.hardware == hardware and row.latency_ms_p50 is not None
        ]
        kept = front(points, higher_is_better=ranked[0].higher_is_better)
        found |= {label for *_, label in kept}
    return found


def _columns(metric: str) -> list[Column]:
    gain = "Over the best single modality, with its 95 % interval"
    return [
        Column("rank", "#", "Place by the mean on test; ≈ is a tie with the first"),
        Column("fusion", "Configuration", "Fusion; encoders; head and objective", numeric=False),
        Column("score", f"{metric} on test", "Mean over fresh seeds, with its 95 % interval"),
        Column("gain", "Gain", gain),
        Column("p50", "p50, ms", "Median latency of one request, encoders included"),
        Column("p95", "p95, ms", "95th percentile of the latency of one request"),
        Column("concat", "× concat", "Median latency over that of concat on the same hardware"),
        Column("memory", "Peak MiB", "Peak memory of one request"),
        Column("parameters", "Params", "Trained and frozen, encoders included"),
        Column("seeds", "Seeds", _seeds_hint()),
        Column("hardware", "On", "Hardware: see below the table", numeric=False),
    ]


def _silent(standings: Sequence[Standing]) -> frozenset[str]:
    """Retrieval has no gain and no concat."""
    told = {
        "gain": any(s.row.gain for s in standings),
        "concat": any(s.latency_vs_concat is not None for s in standings),
    }
    return frozenset(key for key, some in told.items() if not some)


def _seeds_hint() -> str:
    levels = "; ".join(f"{name} from {n} on" for n, name in reversed(LEVELS))
    return f"Fresh seeds; {levels}; fewer are a preview, which is not ranked"


def _line(
    standing: Standing,
    scales: tuple[Scale, Scale],
    best: set[str],
    chosen: Row | None,
    letters: dict[str, str],
) -> Line:
    row, gain = standing.row, standing.row.gain
    scores, gains = scales
    answer, on_front, preferred = verdict(row), row.id in best, row is chosen
    return Line(
        row=row,
        standing=standing,
        page=row_page(row),
        score=scores.whisker(_main(row)),
        gain=gains.whisker((gain["low"], gain["mean"], gain["high"])) if gain else None,
        verdict=answer,
        front=on_front,
        preferred=preferred,
        figures=_figures(standing, letters[row.hardware]),
        words=" ".join(
            (
                *(f"{m}:{name}" for m, name in row.encoders.items()),
                *(row.fusion, row.head, row.objective, row.id, row.hardware, answer.words),
                row.level,
                *(["reference"] if row.reference else []),
                *(["pareto front"] if on_front else []),
                *(["preferred"] if preferred else []),
            )
        ).lower(),
    )


def _main(row: Row) -> tuple[float, float, float]:
    return row.main["low"], row.main["mean"], row.main["high"]


def _figures(standing: Standing, letter: str) -> list[Cell]:
    row = standing.row
    p50, p95, ratio = row.latency_ms_p50, row.latency_ms_p95, standing.latency_vs_concat
    return [
        Cell("p50", "p50, ms", p50, cells.milliseconds(p50) + cells.disturbed(row)),
        Cell("p95", "p95, ms", p95, cells.milliseconds(p95)),
        Cell("concat", "× concat", ratio, cells.relative_cell(standing)),
        Cell("memory", "peak MiB", row.peak_memory_mib, cells.memory_cell(row)),
        Cell("parameters", "parameters", row.parameters, cells.count(row.parameters)),
        Cell("seeds", "seeds", len(row.seeds), str(len(row.seeds)), row.level),
        Cell("hardware", "on", letter, letter),
    ]
