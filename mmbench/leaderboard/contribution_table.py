"""A board's section on what each modality brings to each row."""

from collections.abc import Sequence

from mmbench.leaderboard import cells
from mmbench.leaderboard.diagnoses import Contribution
from mmbench.leaderboard.markdown_table import escape, table
from mmbench.leaderboard.rank import Standing


def section(standings: Sequence[Standing]) -> list[str]:
    """Title, table and how to read it; nothing if no row was examined."""
    examined = [(s, s.row.contribution) for s in standings if s.row.contribution is not None]
    if not examined:
        return []
    modalities = list(dict.fromkeys(m for _, found in examined for m in found["shapley"]))
    header = [("#", "r"), ("fusion", "l"), ("encoders", "l")]
    header += [(f"{escape(m)}, Shapley", "r") for m in modalities]
    header += [("EMAP", "r"), ("interaction", "r"), ("NMI", "r")]
    lines = [_line(standing, found, modalities) for standing, found in examined]
    return ["## Contribution", table(header, lines), _reading(examined)]


def _line(standing: Standing, found: Contribution, modalities: Sequence[str]) -> list[str]:
    row, shapley, clusters = standing.row, found["shapley"], standing.row.representation
    return [
        cells.rank_cell(standing),
        escape(cells.fusion_cell(row)),
        escape(cells.encoders_cell(row)),
        *(cells.signed(shapley[m]) if m in shapley else cells.NONE for m in modalities),
        cells.NONE if found["emap"] is None else cells.score(found["emap"]),
        cells.NONE if found["interaction"] is None else cells.signed(found["interaction"]),
        cells.NONE if clusters is None else cells.score(clusters["nmi"]),
    ]


def _reading(examined: Sequence[tuple[Standing, Contribution]]) -> str:
    row = examined[0][0].row
    sizes = sorted({found["rows"] for _, found in examined})
    rows = " or ".join(f"{n:,}" for n in sizes)
    sign = "" if row.higher_is_better else "; lower is better, so negative values help"
    return (
        f"{escape(row.metric)} on {rows} rows of test, evenly spread{sign}. *Shapley* shares what "
        "a model gains over knowing no modality. *EMAP* is the score of the best stand-in "
        "that adds modalities up without interaction (Hessel & Lee, EMNLP 2020), on up to 251 of "
        "the rows, and *interaction* is what the model has above it there. *NMI*: how well k-means "
        "clusters of the fused vectors agree with the classes. `mmbench explain <row> --sample 7` "
        "looks at a single sample."
    )
