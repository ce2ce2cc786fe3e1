"""A board as files: a Markdown page, and a CSV with every figure in full."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmbench.errors import InvalidSpec
from mmbench.files import write_whole
from mmbench.leaderboard import cells
from mmbench.leaderboard.contribution_table import section as contribution_section
from mmbench.leaderboard.garbage import garbage_kept
from mmbench.leaderboard.headline import headline, preferred_fused, versions
from mmbench.leaderboard.markdown_table import escape, table, telling
from mmbench.leaderboard.rank import Standing, rank
from mmbench.leaderboard.robustness_table import section as robustness_section
from mmbench.leaderboard.row import Row

MOST_SLICES = 8
"""Columns of a slice table; the rest is in the rows' JSON."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet computes."""


@garbage_kept()
def write_board(folder: Path, rows: Sequence[Row]) -> tuple[Path, Path]:
    """Write ``folder/<task>/README.md`` and ``leaderboard.csv`` from the rows of one task."""
    if len(tasks := sorted({row.task for row in rows})) != 1:
        raise InvalidSpec(f"A board shows one task; got rows of {', '.join(tasks) or 'none'}.")
    standings = rank(rows)
    home = folder / tasks[0]
    page = write_whole(home / "README.md", markdown(standings))
    return page, write_whole(home / "leaderboard.csv", csv(standings))


def markdown(standings: Sequence[Standing]) -> str:
    """The page of one task: what was found, the table, how to read it, slices, hardware."""
    rows = [s.row for s in standings]
    first, *rest = headline(rows)
    parts = [
        f"# {escape(rows[0].task)}",
        f"**{escape(first)}** {escape(' '.join(rest))}".strip(),
        *_tables(standings),
        _reading(standings),
        *_slices(standings),
        *contribution_section(standings),
        *robustness_section(standings),
        _hardware(rows),
        f"*Newest row: {max(row.created for row in rows)}. Written by "
        "`mmbench leaderboard` from the JSON files in this folder; do not edit.*",
    ]
    return "\n\n".join(parts) + "\n"


def _tables(standings: Sequence[Standing]) -> list[str]:
    """A table for each version of the task: rows of different versions are never compared."""
    letters = cells.machines([s.row for s in standings])
    parts: list[str] = []
    for version in versions([s.row for s in standings]):
        part = [s for s in standings if s.row.task_version == version]
        metric = part[0].row.metric
        header = [
            ("#", "r"),
            ("encoders", "l"),
            ("fusion", "l"),
            ("head", "l"),
            ("objective", "l"),
            (f"{escape(metric)} on test", "l"),
            ("gain over best single modality", "l"),
            ("latency p50 / p95, ms", "r"),
            ("× concat", "r"),
            ("peak memory, MiB", "r"),
            ("parameters", "r"),
            ("seeds", "r"),
            ("hardware", "l"),
            ("row", "l"),
        ]
        parts += [
            f"Data version `{escape(version)}`",
            table(*telling(header, [_line(s, letters, preferred_fused(part)) for s in part])),
        ]
    return parts


def _line(standing: Standing, letters: dict[str, str], preferred: Row | None) -> list[str]:
    row = standing.row
    score = cells.score(row.main["mean"])
    mean = f"**{score}**" if standing.rank == 1 or standing.tied else score
    return [
        cells.rank_cell(standing),
        escape(cells.encoders_cell(row)),
        _fusion(row, preferred),
        escape(row.head),
        escape(row.objective),
        f"{mean} {cells.interval(row.main['low'], row.main['high'])}",
        _gain(standing),
        cells.latency_cell(row),
        cells.relative_cell(standing),
        cells.memory_cell(row),
        cells.count(row.parameters),
        cells.seeds_cell(row),
        letters[row.hardware],
        f"[`{row.id}`]({row.id}.json)",
    ]


def _fusion(row: Row, preferred: Row | None) -> str:
    tags = ["preferred"] * (row is preferred) + ["reference"] * row.reference
    return escape(row.fusion) + (f" *({', '.join(tags)})*" if tags else "")


def _gain(standing: Standing) -> str:
    text, verdict = cells.gain_cell(standing), cells.gain_verdict(standing.row)
    return text.replace(verdict, f"*{verdict}*") if verdict else text


def _reading(standings: Sequence[Standing]) -> str:
    """How to read the table: what is said of things that it has."""
    rows = [s.row for s in standings]
    compared = any(s.latency_vs_concat is not None for s in standings)
    elsewhere = any(s.yardstick is not None for s in standings)
    notes = [
        "Every figure in brackets is a 95 % interval; test was read once, by models trained on "
        "fresh seeds after the search.",
        "Rows are ordered by their mean. ≈ marks a row whose interval overlaps that of the "
        "first; `mmbench diff` tests two rows on the same samples.",
        "A *preview* has fewer than three seeds: it is shown, but not ranked."
        if any(row.preview for row in rows)
        else "",
        f"*preferred*: {cells.PREFERRED}" if preferred_fused(standings) else "",
        f"*over x*: {cells.OVER_ANOTHER}" if elsewhere else "",
        "*not shown to help*: the interval of the gain over the best single modality includes zero."
        if any(map(cells.gain_verdict, rows))
        else "",
        *cells.disturbed_note(rows),
        "Latency is that of one request (batch 1) through the whole model, encoders included"
        + ("; *× concat* compares it with the concat row on the same hardware." * compared or "."),
        "*community*: three fresh seeds or more; *verified*: five or more. `mmbench verify <row>` "
        "computes a row's figures again from its predictions.",
        "`mmbench rerun <row>` trains a row again and says how far its figures are from these.",
    ]
    return "\n".join(f"- {note}" for note in notes if note)


def _slices(standings: Sequence[Standing]) -> list[str]:
    """A table for each grouping of the test rows: the main metric in every group."""
    groupings = dict.fromkeys(name for s in standings for name in s.row.slices)
    parts: list[str] = []
    for name in groupings:
        sizes = _sizes(standings, name)
        shown = sorted(sizes, key=lambda v: (-sizes[v], v))[:MOST_SLICES]
        header = [("#", "r"), ("fusion", "l"), ("encoders", "l")]
        header += [(f"{escape(v)} ({sizes[v]:,} rows)", "r") for v in shown]
        title = f"## By {escape(name.replace('_', ' '))}"
        if len(sizes) > len(shown):
            title += f"\n\nThe {len(shown)} largest of {len(sizes)}; the JSON rows hold all."
        lines = [_slice_line(s, name, shown) for s in standings if name in s.row.slices]
        parts += [title, table(header, lines)]
    return parts


def _sizes(standings: Sequence[Standing], name: str) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for standing in standings:
        for value, part in standing.row.slices.get(name, {}).items():
            sizes.setdefault(value, part["rows"])
    return sizes


def _slice_line(standing: Standing, name: str, shown: Sequence[str]) -> list[str]:
    row = standing.row
    scores = row.slices[name]
    return [
        cells.rank_cell(standing),
        escape(row.fusion),
        escape(cells.encoders_cell(row)),
        *(cells.score(scores[v]["score"]) if v in scores else cells.NONE for v in shown),
    ]


def _hardware(rows: Sequence[Row]) -> str:
    lines = [f"- **{letter}**: {escape(name)}" for name, letter in cells.machines(rows).items()]
    note = "Latency and memory are only comparable between rows of one hardware"
    if len(lines) > 1:
        note += "; `mmbench leaderboard --sort latency` ranks each hardware apart"
    return "\n".join(["## Hardware", "", f"{note}.", "", *lines])


def csv(standings: Sequence[Standing]) -> str:
    """Every figure of the board, unrounded, one row a line."""
    import pandas as pd

    records = [{_text(k): _text(v) for k, v in _record(s).items()} for s in standings]
    return pd.DataFrame(records).to_csv(index=False, lineterminator="\n")


def _text(value: Any) -> Any:
    """A name that a spreadsheet would compute as a formula is marked as text, by an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _record(standing: Standing) -> dict[str, Any]:
    row, gain = standing.row, standing.row.gain
    name = row.metric.replace("-", "_")
    return {
        "rank": "" if standing.rank is None else standing.rank,
        "tied": standing.tied,
        "preview": row.preview,
        "level": row.level,
        "id": row.id,
        "task": row.task,
        "task_version": row.task_version,
        "encoders": cells.encoders_cell(row),
        "fusion": row.fusion,
        "head": row.head,
        "objective": row.objective,
        name: row.main["mean"],
        f"{name}_low": row.main["low"],
        f"{name}_high": row.main["high"],
        "gain_over": gain["over"] if gain else None,
        "gain": gain["mean"] if gain else None,
        "gain_low": gain["low"] if gain else None,
        "gain_high": gain["high"] if gain else None,
        "latency_ms_p50": row.latency_ms_p50,
        "latency_ms_p90": row.latency_ms_p90,
        "latency_ms_p95": row.latency_ms_p95,
        "latency_vs_concat": standing.latency_vs_concat,
        "peak_memory_mib": row.peak_memory_mib,
        "parameters": row.parameters,
        "fusion_parameters": row.fusion_parameters,
        "flops": row.flops,
        "train_seconds": row.train_seconds,
        "seeds": " ".join(map(str, row.seeds)),
        "area_under_noise": row.robustness["area"].get("all") if row.robustness else None,
        "reference": row.reference,
        "hardware": row.hardware,
        "created": row.created,
    }
