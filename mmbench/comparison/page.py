"""A comparison as files: a page, its pictures, every figure as JSON, and the rows."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmbench.comparison import cells
from mmbench.comparison.index import write_index
from mmbench.comparison.job import Outcome
from mmbench.comparison.pictures import draw
from mmbench.comparison.verdicts import Verdict
from mmbench.files import write_whole
from mmbench.leaderboard import cells as figures
from mmbench.leaderboard.markdown_table import escape, table
from mmbench.leaderboard.rank import Concats
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.row_files import write_row
from mmbench.leaderboard.sources import ROWS

HEADER = [
    ("#", "r"),
    ("", "l"),
    ("on test", "l"),
    ("mean rank", "r"),
    ("difference to the plain choice", "l"),
    ("verdict", "l"),
    ("best on validation", "r"),
    ("latency p50, ms", "r"),
    ("× concat", "r"),
    ("peak memory, MiB", "r"),
    ("fusion's parameters", "r"),
    ("training, s", "r"),
    ("row", "l"),
]


def write_comparison(
    folder: Path, outcome: Outcome, dropped: Mapping[str, str], command: Sequence[str]
) -> Path:
    """Replace what ``folder`` holds of an earlier comparison; the page's path."""
    rows = folder / ROWS
    for old in [*rows.glob("*/*.json"), *folder.glob("*.svg")]:
        old.unlink()
    for row in outcome.rows.values():
        write_row(rows, row)
    pictures = draw(outcome, folder)
    write_whole(folder / "comparison.json", json.dumps(_document(outcome), indent=2) + "\n")
    written = write_whole(folder / "README.md", page(outcome, dropped, command, pictures))
    write_index(folder.parent)
    return written


def page(
    outcome: Outcome, dropped: Mapping[str, str], command: Sequence[str], pictures: Sequence[Path]
) -> str:
    """The Markdown page: what was found, the table, how to read it, pictures, who is missing."""
    request, row = outcome.request, next(iter(outcome.rows.values()))
    first, *rest = cells.headline(outcome)
    what = "fusions" if len({c.objective for c in request.contestants}) == 1 else "paradigms"
    n = sum(not c.reference for c in request.contestants)
    parts = [
        f"# {escape(row.task)}: {n} {what} compared",
        f"**{escape(first)}** {escape(' '.join(rest))}".strip(),
        _equal(outcome, row),
        table(HEADER, _lines(outcome)),
        _reading(outcome),
        *(f"![{p.stem.replace('-', ' ')}]({p.name})" for p in pictures),
        *_missing("Failed", outcome.failures),
        *_missing("Left out", dropped),
        f"Run it again: `{escape(shlex.join(command))}`",
        f"*Hardware: {escape(row.hardware)}. {row.created[:10]}. Written by `mmbench compare`; do "
        "not edit.*",
    ]
    return "\n\n".join(parts) + "\n"


def _equal(outcome: Outcome, row: Row) -> str:
    request = outcome.request
    encoders = ", ".join(f"{m}: {encoder}" for m, encoder in request.encoders.items())
    heads = ", ".join(dict.fromkeys(c.head for c in request.contestants if not c.reference))
    return (
        f"Equal for all: encoders ({escape(encoders)}), head ({escape(heads)}), batches, "
        f"{request.budget} tuning trials (the defaults, then random draws that all share), and "
        f"{request.seeds} fresh seeds. Metric: {escape(row.metric)}; data version "
        f"`{escape(row.task_version)}`."
    )


def _lines(outcome: Outcome) -> list[list[str]]:
    concats = Concats(list(outcome.rows.values()))
    place, lines = 0, []
    for v in outcome.verdicts:
        place += not v.reference
        lines.append(_line(v, outcome.rows[v.label], place, concats))
    return lines


def _line(v: Verdict, row: Row, place: int, concats: Concats) -> list[str]:
    mean = figures.score(row.main["mean"])
    return [
        figures.NONE if v.reference else f"{place}{' ≈' if v.leads and v.best else ''}",
        escape(v.label) + (" *(reference)*" if v.reference else ""),
        f"{f'**{mean}**' if v.leads else mean} "
        f"{figures.interval(row.main['low'], row.main['high'])}",
        f"{v.mean_rank:.1f}",
        cells.difference(v.yardstick),
        cells.verdict(v.yardstick).replace("<", "\\<"),
        cells.best_validation(v),
        figures.milliseconds(row.latency_ms_p50) + figures.disturbed(row),
        figures.relative(concats.ratio(row), row, concats.of(row)),
        figures.memory_cell(row),
        figures.count(row.fusion_parameters),
        f"{row.train_seconds:.1f}",
        f"[`{row.id}`](rows/{row.task}/{row.id}.json)",
    ]


def _reading(outcome: Outcome) -> str:
    yardstick = next((v.yardstick.other for v in outcome.verdicts if v.yardstick), None)
    notes = [
        "Ordered by the mean over fresh seeds on test, which was read once. Brackets are 95 % "
        "intervals over seeds and samples.",
        "≈ and bold: not shown to be worse than the first (paired test over the same samples and "
        "seeds; test chose the first, so p is corrected for all pairs: Tukey).",
        "*best on validation* chose the settings; it is the best of several and so too good.",
    ]
    notes += figures.disturbed_note(list(outcome.rows.values()))
    if yardstick:
        notes.insert(
            2,
            f"The verdict is that of the paired test against {escape(yardstick)}, Holm-corrected. "
            "Variances over a few seeds are moderated by what is usual among all (Smyth 2004).",
        )
    return "\n".join(f"- {note}" for note in notes)


def _missing(title: str, reasons: Mapping[str, str]) -> list[str]:
    if not reasons:
        return []
    lines = "\n".join(f"- {escape(name)}: {escape(why)}" for name, why in sorted(reasons.items()))
    return [f"## {title}\n\n{lines}"]


def _document(outcome: Outcome) -> dict[str, object]:
    """Every figure of the comparison, unrounded."""
    return {
        "headline": cells.headline(outcome),
        "request": outcome.request.to_dict(),
        "verdicts": [
            {**v.to_dict(), "row": outcome.rows[v.label].id, "leads": v.leads}
            for v in outcome.verdicts
        ],
        "failures": dict(outcome.failures),
        "tuning": {label: list(trials) for label, trials in outcome.tuning.items()},
    }
