"""What is missing, broken, constant or odd in the columns of a table, said before training."""

from collections import Counter
from collections.abc import Iterable, Mapping
from shlex import quote

import numpy as np
import pandas as pd

from mmbench.errors import UnusableData
from mmbench.tables.cells import as_text, strings, with_value
from mmbench.tables.dates import Order, how_read, orders, read_dates
from mmbench.tables.findings import Finding, counted, listed, rows_named, so_missing
from mmbench.tables.kinds import Seems
from mmbench.tables.media import ABSENT
from mmbench.tables.numbers import as_numbers
from mmbench.tables.odd import limits_said
from mmbench.tables.recipe import Files
from mmbench.tables.store import Store

MOST_MISSING = 0.5
"""Share of a column's files that may be absent before that looks like a wrong folder."""
NOT_LEARNT: Mapping[str, Order] = {}


def left_aside(seems: Mapping[str, Seems], roles: Iterable[str]) -> list[Finding]:
    """Columns that are not read, and why; those with a role are no surprise."""
    return [
        Finding(name, f"not used: {seem.why}", "done")
        for name, seem in seems.items()
        if seem.kind == "ignored" and name not in set(roles)
    ]


def gaps(
    frame: pd.DataFrame,
    columns: Mapping[str, Iterable[str]],
    learnt: Mapping[str, Order] = NOT_LEARNT,
) -> list[Finding]:
    """Empty cells of each column, and numbers and dates that are none. ``columns`` by kind.

    ``learnt``: how a model reads the dates of a column, whatever these cells would tell.
    """
    found = []
    for kind, names in columns.items():
        for name in names:
            cells = frame[name]
            empty = np.flatnonzero(cells.isna().to_numpy(dtype=bool) | _blank(cells))
            if len(empty):
                says = f"{counted(len(empty), 'empty cell')}, {_then(kind, len(empty))}"
                found.append(Finding(name, says))
            if kind not in ("text", "category"):
                cells = with_value(cells)
                found += _words_for_nothing(frame[name], cells)
            if kind == "number":
                found += [*_no_numbers(cells), *limits_said(cells)]
            if kind == "date":
                found += _dates(cells, learnt.get(name))
    return found


def _words_for_nothing(cells: pd.Series, told: pd.Series) -> list[Finding]:
    empty = cells.notna() & told.isna()
    words = listed([repr(word) for word in sorted(set(cells[empty]))])
    return _unread(str(cells.name), empty, words)


def _blank(cells: pd.Series) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(cells) or pd.api.types.is_datetime64_any_dtype(cells):
        return np.zeros(len(cells), dtype=bool)
    return strings(cells).map(lambda s: not s.strip(), na_action="ignore").eq(True).to_numpy()  # noqa: FBT003


def _then(kind: str, n: int) -> str:
    if kind in ("number", "date"):
        return f"which count{'s' if n == 1 else ''} as the mean of the training rows"
    if kind == "category":
        return f"which {'is' if n == 1 else 'are'} of no category"
    return "where the modality is missing"


def _no_numbers(cells: pd.Series) -> list[Finding]:
    numbers = as_numbers(cells)
    name, none = str(cells.name), cells.notna() & numbers.isna()
    return [
        *_unread(name, none, "no number", _such_as(cells[none])),
        *_unread(name, numbers.isin([np.inf, -np.inf]), "infinite"),
    ]


def _dates(cells: pd.Series, learnt: Order | None) -> list[Finding]:
    name, found = str(cells.name), orders(cells)
    unread = cells.notna() & read_dates(cells, learnt or found.order).isna()
    return [
        *([] if learnt else how_read(name, found)),
        *_unread(name, unread, "no date", _such_as(cells[unread])),
    ]


def _such_as(cells: pd.Series) -> str:
    """The first of these cells; nothing if there is none."""
    return "".join(f", such as {as_text(cell)!r}" for cell in cells.head(1))


def _unread(name: str, which: pd.Series, what: str, such: str = "") -> list[Finding]:
    rows = np.flatnonzero(which.to_numpy(dtype=bool))
    if not len(rows):
        return []
    says = f"{counted(len(rows), 'cell')} {'is' if len(rows) == 1 else 'are'} {what} and count"
    says += f"{'s' if len(rows) == 1 else ''} as empty: {rows_named(rows)}{such}"
    return [Finding(name, says, "done", tuple(rows_named([row]) for row in rows))]


def check_files(name: str, files: Files, found: Store) -> list[Finding]:
    """Broken and absent files, each listed; ``UnusableData`` if most are absent."""
    absent = {i for i, why in found.broken.items() if why == ABSENT}
    total = len(files.paths)
    if not total or len(found.broken) == total or len(absent) > MOST_MISSING * total:
        raise _mostly_absent(name, files, found, absent)
    return [
        *_broken(name, files, {i: found.broken[i] for i in sorted(absent)}, "does not exist"),
        *_broken(
            name, files, {i: w for i, w in found.broken.items() if i not in absent}, "is broken"
        ),
        *_sounds(name, files, found),
    ]


def _mostly_absent(name: str, files: Files, found: Store, absent: set[int]) -> UnusableData:
    if not files.paths:
        return UnusableData(
            f"Column {name!r} names no file. Leave it out: --kind {quote(f'{name}=ignored')}."
        )
    first = min(absent or found.broken)
    row = files.rows_of([first])[0]
    return UnusableData(
        f"Column {name!r}: {len(found.broken):,} of {counted(len(files.paths), 'file')} cannot be "
        f"read, such as {files.paths[first]} ({rows_named([row])}): {found.broken[first]}. "
        f"{'Say with --root where the paths start' if absent else 'Mend them, or leave it out'}."
    )


def _broken(name: str, files: Files, why: Mapping[int, str], what: str) -> list[Finding]:
    if not why:
        return []
    each = [f"{files.paths[i]} ({rows_named(files.rows_of([i]))}): {w}" for i, w in why.items()]
    verb = what if len(why) == 1 else what.replace("does", "do").replace("is ", "are ")
    says = f"{counted(len(why), 'file')} {verb}, {so_missing(files.rows_of(why))}"
    return [Finding(name, says, "done", tuple(each))]


def _sounds(name: str, files: Files, found: Store) -> list[Finding]:
    rates = Counter(remark for remark in found.remarks if remark.endswith(" Hz"))
    findings = []
    if len(rates) > 1:
        each = listed([f"{n:,} at {rate}" for rate, n in rates.most_common()])
        findings.append(
            Finding(name, f"mixed sample rates ({each}): all were resampled to 16000 Hz", "done")
        )
    silent = [i for i, remark in enumerate(found.remarks) if remark == "silent"]
    if silent:
        rows = files.rows_of(silent)
        each_file = tuple(str(files.paths[i]) for i in silent)
        says = f"{counted(len(silent), 'sound')} silent throughout, kept as silence: "
        findings.append(Finding(name, says + rows_named(rows), "note", each_file))
    return findings
