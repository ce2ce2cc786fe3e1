"""A table's rows into parts: by the user's own split, or by shares with copies kept together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmbench.parts import PARTS
from mmbench.tables import splitting
from mmbench.tables.cells import categories, strings
from mmbench.tables.copies import NONE, Groups, Tied, groups_of, keyed
from mmbench.tables.findings import Finding, counted, rows_named
from mmbench.tables.options import TableOptions
from mmbench.tables.recipe import Files
from mmbench.tables.splitting import How
from mmbench.tables.store import Store
from mmbench.tables.targets import Target

VALIDATION = 0.1
"""Share of the training rows, where a split column names no validation rows."""
OF_ONE_GROUP = "of one group"


@dataclass(frozen=True, slots=True)
class Division:
    """Which row is where, and which rows belong together."""

    parts: np.ndarray  # (rows,) the part of each row, empty where it is left out
    groups: Groups  # (rows,)


def ties(
    frame: pd.DataFrame,
    group: str,
    files: Mapping[str, tuple[Files, Store]],
    cells: Sequence[str],
) -> list[Tied]:
    """Every sign that rows belong together: a group column, files by column, equal rows."""
    found = []
    if group:
        owners = categories(frame[group])
        found.append(Tied(OF_ONE_GROUP, keyed(owners.where(owners.notna(), None).tolist())))
    contents = [_as_read(frame[name]) for name in cells]
    for name, (named, store) in files.items():
        digests = named.digests(store)
        contents.append([digest or "" for digest in digests])
        found.append(Tied(f"of one file of {name!r}", keyed(digests)))
        if store.near is not None:
            of_row = named.usable(store)
            keys = np.where(of_row >= 0, store.near[of_row.clip(min=0)], NONE)
            found.append(Tied(f"near-copies in {name!r}", keys))
    equal = keyed(list(zip(*contents, strict=True)))
    return [*found, Tied("equal in all columns", equal)]


def _as_read(cells: pd.Series) -> list[str]:
    """Without what no model makes a difference of: case, and blanks but for one between words."""
    return [" ".join(text.lower().split()) for text in strings(cells).fillna("")]


def divide(
    frame: pd.DataFrame,
    options: TableOptions,
    how: How,
    target: Target,
    usable: np.ndarray,
    tied: list[Tied],
    findings: list[Finding],
) -> Division:
    """The part of each row; ``usable`` (rows,) says which have a target and any value."""
    strata = np.zeros(len(frame), dtype=np.int64)
    if target.kind == "classification":
        strata = target.values.numpy()
    if how.column:
        division = _given(frame[how.column], options.seed, strata, usable, tied, findings)
    else:
        groups = groups_of(_kept(tied, findings), len(frame))
        parts, rows = np.full(len(frame), "", dtype=object), np.flatnonzero(usable)
        parts[rows] = splitting.draw_parts(groups[rows], strata[rows], how.shares, options.seed)
        findings += splitting.short_parts(parts, how.shares)
        findings += _without_group(frame[how.group], usable) if how.group else []
        division = Division(parts, groups)
    said = [f.says for f in findings if f.where == "split" and f.level == "done"]
    splitting.check_parts_filled(division.parts, how, division.groups[usable], said)
    if target.kind in ("classification", "multilabel"):
        sizes = {part: _sizes(target, division.parts == part) for part in PARTS}
        findings += splitting.unseen_classes(sizes, target.outputs, options.target)
    return division


def _sizes(target: Target, rows: np.ndarray) -> np.ndarray:
    """(classes or labels,) how many of these rows have each."""
    values = target.values.numpy()[rows]
    if target.kind == "multilabel":
        labels: np.ndarray = values.sum(0)
        return labels
    return np.bincount(values, minlength=len(target.outputs))


def _without_group(cells: pd.Series, usable: np.ndarray) -> list[Finding]:
    rows = np.flatnonzero(categories(cells).isna().to_numpy(dtype=bool) & usable)
    if not len(rows):
        return []
    says = f"{counted(len(rows), 'row')} without a group, each taken as one by itself"
    return [Finding(str(cells.name), f"{says}: {rows_named(rows)}")]


def _kept(tied: list[Tied], findings: list[Finding]) -> list[Tied]:
    """Those by which the split goes; a sign that ties too many rows says nothing."""
    kept = []
    for tie in tied:
        n, group = int(tie.shared().sum()), tie.sign == OF_ONE_GROUP
        if group or not tie.too_common():
            kept.append(tie)
            if n and not group:
                says = f"{n:,} rows are {tie.sign}; such rows were kept in one part"
                findings.append(Finding("split", says, "done"))
        else:
            says = (
                f"{n:,} rows are {tie.sign}, too many to keep in one part: they are split, and a "
                "model may meet on test what it was trained on"
            )
            findings.append(Finding("split", says))
    return kept


def _given(
    cells: pd.Series,
    seed: int,
    strata: np.ndarray,
    usable: np.ndarray,
    tied: list[Tied],
    findings: list[Finding],
) -> Division:
    """The user's own parts: rows that are copies of a later part's leave the earlier one."""
    parts, name = splitting.given_parts(cells), str(cells.name)
    if len(unnamed := np.flatnonzero(parts == "")):
        says = f"{counted(len(unnamed), 'row')} without a part left out: {rows_named(unnamed)}"
        findings.append(Finding(name, says, "done"))
    parts[~usable] = ""
    kept = [tie for tie in tied if not tie.too_common()]
    groups = groups_of(kept, len(parts))
    rows = np.flatnonzero(parts == "train")
    if not (parts == "val").any() and len(rows):
        shares = (1 - VALIDATION, VALIDATION, 0.0)
        parts[rows] = splitting.draw_parts(groups[rows], strata[rows], shares, seed)
        says = f"no validation rows: {VALIDATION:.0%} of the training rows were taken for it"
        findings.append(Finding(name, says, "done"))
    for tie in [*kept, Tied("tied by way of other rows to those", groups)]:
        across = np.flatnonzero(splitting.crossing(parts, tie.keys))
        if len(across):
            parts[across] = ""
            findings.append(splitting.left_out(across, tie.sign))
    return Division(parts, groups)


def official(cells: pd.Series, usable: np.ndarray, sources: Groups) -> Division:
    """The parts of a published data set, copies and all: scores are to be those of others."""
    parts = splitting.given_parts(cells)
    parts[~usable] = ""
    return Division(parts, sources)
