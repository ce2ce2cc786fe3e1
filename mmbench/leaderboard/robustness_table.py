"""A board's section on robustness: how each row fares on disturbed rows of test."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Literal

from mmbench.leaderboard import cells
from mmbench.leaderboard.diagnoses import Robustness
from mmbench.leaderboard.markdown_table import escape, table, telling
from mmbench.leaderboard.rank import Standing, plainest_first
from mmbench.leaderboard.row import Row

ALL = "all"
"""In ``area``: the mean over all curves."""
ABOVE = "area above concat's"
Concats = Mapping[Hashable, Row]
Kind = Literal["missing", "shuffled", "conflict", "area"]


def section(standings: Sequence[Standing]) -> list[str]:
    """Title, table and how to read it; nothing if no row was examined."""
    examined = [(s, s.row.robustness) for s in standings if s.row.robustness is not None]
    if not examined:
        return []
    concats = concat_rows(s.row for s, _ in examined)
    modalities = list(dict.fromkeys(m for _, found in examined for m in found["missing_share"]))
    header = [("#", "r"), ("fusion", "l"), ("encoders", "l"), ("clean", "r")]
    header += [(f"without {escape(m)}", "r") for m in modalities]
    header += [("area under noise", "r"), (ABOVE, "r")]
    lines = [_line(s, found, modalities, concats) for s, found in examined]
    header, lines = telling(header, lines)
    compared = any(title == ABOVE for title, _ in header)
    return ["## Robustness", table(header, lines), _reading(examined, compared=compared)]


def _line(
    standing: Standing, found: Robustness, modalities: Sequence[str], concats: Concats
) -> list[str]:
    row = standing.row
    above = relative(row, concats)
    return [
        cells.rank_cell(standing),
        escape(cells.fusion_cell(row)),
        escape(cells.encoders_cell(row)),
        cells.score(found["clean"]),
        *(figure(found, "missing", m) for m in modalities),
        figure(found, "area", ALL),
        cells.NONE if above is None else cells.signed(above),
    ]


def figure(found: Robustness, kind: Kind, name: str) -> str:
    """A figure with its interval, if it has one."""
    if name not in found[kind]:
        return cells.NONE
    known = found["intervals"][kind].get(name) if "intervals" in found else None
    return cells.score(found[kind][name]) + (f" {cells.interval(*known)}" if known else "")


def concat_rows(rows: Iterable[Row]) -> Concats:
    """By what may be compared with it, a concat row; among several as latencies choose it."""
    found: dict[Hashable, Row] = {}
    concats = [row for row in rows if row.fusion == "concat"]
    for row in sorted(concats, key=plainest_first):
        found.setdefault(_comparable(row), row)
    return found


def relative(row: Row, concats: Concats) -> float | None:
    """Robustness relative to concat with the same encoders: the area less its; positive is better.

    What a row is better by on clean rows is part of that. MultiBench (Liang et al., NeurIPS 2021)
    calls the area itself relative, and effective what is left above the curve of late fusion once
    that is moved to the same clean score. None if there is no such row, or if either was examined
    on other curves than the other.
    """
    concat = concats.get(_comparable(row))
    if concat is None or concat.robustness is None or row.robustness is None:
        return None
    own, its = row.robustness["area"], concat.robustness["area"]
    if ALL not in own or own.keys() != its.keys():
        return None
    return (own[ALL] - its[ALL]) * row.sign


def _comparable(row: Row) -> Hashable:
    return row.task, row.task_version, tuple(sorted(row.encoders.items()))


def _reading(examined: Sequence[tuple[Standing, Robustness]], *, compared: bool) -> str:
    metric = examined[0][0].row.metric
    sizes = sorted({found["rows"] for _, found in examined})
    rows = " or ".join(f"{n:,}" for n in sizes)
    above = f"; *{ABOVE}* compares it with concat on the same encoders" if compared else ""
    return (
        f"{escape(metric)} on {rows} rows of test, evenly spread. *Area under noise* is the mean "
        "over severities 0 to 5 of every noise of every modality, and over growing shares of rows "
        f"that miss it{above}. The JSON rows hold every curve, and what shuffled and contradicting "
        "modalities do."
    )
