"""The page that lists comparisons: of each, how many are better, and how many are not."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmbench.files import write_whole
from mmbench.leaderboard import cells
from mmbench.leaderboard.markdown_table import escape, table
from mmbench.leaderboard.site.comparison_file import Comparison, read_comparisons
from mmbench.leaderboard.site.comparison_page import BETTER, TIE, WORSE, against_plain
from mmbench.leaderboard.site.verdict import HELPS, HURTS, UNSURE, Verdict, verdict

HEADER = [
    ("comparison", "l"),
    ("contestants", "r"),
    ("best mean", "l"),
    ("not shown to be worse than it", "r"),
    ("against the plain choice: better / not shown to differ / worse", "r"),
    ("against the best single modality: better / not shown to be / worse", "r"),
]


def write_index(folder: Path) -> Path:
    """``README.md`` over the comparisons in ``folder`` that can be read; its path."""
    lines = [_line(comparison) for comparison in read_comparisons(folder)[0]]
    return write_whole(
        folder / "README.md",
        "# Controlled comparisons\n\nOne thing varies in each; encoders, head, batches, tuning "
        f"budget and seeds are equal.\n\n{table(HEADER, lines)}\n\n"
        "- *plain choice*: concat among fusions, the plain paradigm among objectives. Differences "
        "are tested in pairs, over the same samples and seeds, Holm-corrected; those to the best, "
        "which test chose, for all pairs (Tukey).\n"
        "- *best single modality*: the one that validation prefers; better and worse are those "
        "whose own 95 % interval of the gain excludes zero, which is not corrected for how many "
        "there are.\n\n"
        "*Written by `mmbench compare`; do not edit.*\n",
    )


def _line(comparison: Comparison) -> list[str]:
    """Contestants are in their order, best first."""
    contestants = [c for c in comparison.contestants if not c["reference"]]
    best, rows = contestants[0], [comparison.rows[c["row"]] for c in contestants]
    plain = Counter(against_plain(c) for c in contestants if c["yardstick"])
    gains = Counter(verdict(row) for row in rows if row.gain is not None)
    return [
        f"[{escape(comparison.name)}]({comparison.name}/README.md)",
        str(len(contestants)),
        f"{escape(best['label'])}, {cells.score(best['score'])} {escape(rows[0].metric)}",
        str(sum(c["leads"] for c in contestants) - 1),
        _counts(plain, (BETTER, TIE, WORSE)),
        _counts(gains, (HELPS, UNSURE, HURTS)),
    ]


def _counts(found: Mapping[Verdict, int], kinds: Iterable[Verdict]) -> str:
    """``0 / 55 / 9``, or a dash where nothing was compared."""
    return " / ".join(str(found[kind]) for kind in kinds) if found else cells.NONE
