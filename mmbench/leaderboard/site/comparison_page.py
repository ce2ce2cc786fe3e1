"""The page of a comparison: who is better than the plain choice, and what each costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from mmbench.leaderboard import cells
from mmbench.leaderboard.rank import Standing, rank
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.site.board_table import fast_and_good
from mmbench.leaderboard.site.charts import SERIES
from mmbench.leaderboard.site.comparison_file import Comparison, Contestant
from mmbench.leaderboard.site.page import Page
from mmbench.leaderboard.site.row_page import pages_of_rows
from mmbench.leaderboard.site.trade_off import trade_offs
from mmbench.leaderboard.site.tuning_charts import best_after
from mmbench.leaderboard.site.verdict import Verdict
from mmbench.leaderboard.site.whisker import Scale, Whisker, scale

BETTER = Verdict("better", "▲", "Yes", "better")
TIE = Verdict("unsure", "◇", "Not shown", "tie")
WORSE = Verdict("worse", "▼", "No", "worse")
NONE = Verdict("unknown", "·", "Not compared", "")
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class ContestantLine:
    """A contestant as the table shows it."""

    contestant: Contestant
    row: Row
    page: str
    place: int | None
    score: Whisker
    difference: Whisker | None
    verdict: Verdict
    standing: Standing
    front: bool
    """None on the same hardware is better and faster at once."""


def comparison_pages(comparison: Comparison, boards: PurePosixPath) -> list[Page]:
    """Its own page first, then one for each row."""
    folder = comparison.folder_on_site
    standings = rank(list(comparison.rows.values()))
    own = f"{folder}/index.html"
    rows = boards / "comparisons" / comparison.name / "rows"
    return [
        _page(comparison, standings, folder, own),
        *pages_of_rows(standings, rows, (comparison.name, own), folder),
    ]


def _page(comparison: Comparison, standings: Sequence[Standing], folder: str, path: str) -> Page:
    contestants = comparison.contestants
    metric = next(iter(comparison.rows.values())).metric
    yardstick = next((y["other"] for c in contestants if (y := c["yardstick"])), None)
    curves = {c["label"]: c["best_after"] for c in contestants if len(c["best_after"]) > 1}
    fused = [c["label"] for c in contestants if not c["reference"]]
    shown = [name for name in fused if name in curves][: SERIES - 1]
    if yardstick in curves and yardstick not in shown:
        shown.append(yardstick)
    content = {
        "comparison": comparison,
        "claim": comparison.headline[0] if comparison.headline else comparison.name,
        "rest": " ".join(comparison.headline[1:]),
        "metric": metric,
        "yardstick": yardstick,
        "shared": _shared(comparison),
        "lines": _lines(comparison, standings, folder),
        "charts_list": [
            *trade_offs(standings, lambda row: f"{row.id}.html"),
            *([best_after(curves, shown, metric)] if curves else []),
        ],
        "hardware": cells.machines(list(comparison.rows.values())),
        "task": comparison.task,
    }
    return Page(path, f"Comparison {comparison.name}", "comparison.html", content)


def _shared(comparison: Comparison) -> str:
    """The encoders and heads of all contestants: other ones have other scores on the boards."""
    rows = [comparison.rows[c["row"]] for c in comparison.contestants if not c["reference"]]
    encoders = dict.fromkeys(cells.encoders_cell(row) for row in rows)
    heads = dict.fromkeys(row.head for row in rows)
    return f"{' or '.join(encoders)}, {' or '.join(heads)} head" if rows else ""


def _lines(
    comparison: Comparison, standings: Sequence[Standing], folder: str
) -> list[ContestantLine]:
    by_id = {s.row.id: s for s in standings}
    mains = {id_: row.main for id_, row in comparison.rows.items()}
    scores = scale((m["low"], m["mean"], m["high"]) for m in mains.values())
    against = [y for c in comparison.contestants if (y := c["yardstick"])]
    differences = scale(((y["low"], y["mean"], y["high"]) for y in against), zero=True)
    best = fast_and_good(standings)
    lines, place = [], 0
    for contestant in comparison.contestants:
        place += not contestant["reference"]
        standing = by_id[contestant["row"]]
        lines.append(_line(contestant, standing, place, (scores, differences), folder, best))
    return lines


def _line(
    contestant: Contestant,
    standing: Standing,
    place: int,
    scales: tuple[Scale, Scale],
    folder: str,
    best: set[str],
) -> ContestantLine:
    row, against = standing.row, contestant["yardstick"]
    scores, differences = scales
    return ContestantLine(
        contestant,
        row,
        f"{folder}/{row.id}.html",
        None if contestant["reference"] else place,
        scores.whisker((row.main["low"], row.main["mean"], row.main["high"])),
        differences.whisker((against["low"], against["mean"], against["high"]))
        if against
        else None,
        against_plain(contestant),
        standing,
        row.id in best,
    )


def against_plain(contestant: Contestant) -> Verdict:
    """Of the corrected test against the plain choice."""
    against = contestant["yardstick"]
    if against is None:
        return NONE
    if against["p_corrected"] >= ALPHA:
        return TIE
    return BETTER if against["mean"] > 0 else WORSE
