"""What became of files and sequences once decoded: what cannot be seen in them, what was cut."""

from collections.abc import Sequence
from shlex import quote

import numpy as np
import pandas as pd

from mmbench.errors import UnusableData
from mmbench.tables.copies import NONE
from mmbench.tables.endings import names_several
from mmbench.tables.findings import Finding, Level, counted, rows_named
from mmbench.tables.kinds import sequence
from mmbench.tables.media import ABSENT, ANIMATED, RATE, STRETCHED, Shape, by_time
from mmbench.tables.recipe import Files
from mmbench.tables.store import Store

MOST_FLAT = 0.9
"""Share of a column's images that may be of one shade before they seem to be read wrongly."""


def check_written(name: str, files: Files, found: Store) -> None:
    """``UnusableData`` if no file is there because of how the paths are written."""
    absent = [why for why in found.broken.values() if why == ABSENT]
    if len(absent) < len(files.paths):
        return
    none = f"Column {name!r}: none of {counted(len(absent), 'file')} exists, and"
    if several := [path for path in files.paths.names if names_several(path)]:
        raise UnusableData(
            f"{none} cells name several, such as {several[0]!r}. Give each a column of its own, or "
            "put those of a row into a folder and name that: frames of a video."
        )
    if written := [path for path in files.paths.names if "\\" in path]:
        raise UnusableData(
            f"{none} paths have backslashes, such as {written[0]!r}. Write / instead, and say with "
            "--root where the paths start if it is not the table's folder."
        )


def of_files(name: str, files: Files, found: Store, shape: Shape) -> list[Finding]:
    """Of a column of paths."""
    kept = f"{shape.size:,} steps"
    if shape.media == "audio":
        kept = f"{shape.size / RATE:g} seconds (--audio-seconds sets how many)"
    return [
        *_stretched(name, files, found),
        *_animated(name, files, found),
        *_flat(name, files, found),
        *_cut(name, files.rows_of(found.cut), kept),
    ]


def of_sequences(cells: pd.Series, shape: Shape) -> list[Finding]:
    """Of a column whose cells hold numbers."""
    name, unread, long = str(cells.name), [], []
    for row in np.flatnonzero(cells.notna()).tolist():
        cell = cells.iloc[row]
        values = sequence(cell)
        if values is None and str(cell).strip():
            unread.append(row)
        elif values is not None and len(by_time(values, shape)) > shape.size:
            long.append(row)
    says = f"no sequence of numbers in {counted(len(unread), 'cell')}, taken as empty"
    return [*_said(name, says, unread, "done"), *_cut(name, long, f"{shape.size:,} steps")]


def _stretched(name: str, files: Files, found: Store) -> list[Finding]:
    which = [i for i, remark in enumerate(found.remarks) if remark == STRETCHED]
    says = (
        f"{counted(len(which), 'image')} of 32-bit numbers, each stretched from its least to its "
        "greatest: levels of two images do not compare. Saved with 16 bits they do"
    )
    return _said(name, says, files.rows_of(which), "done")


def _animated(name: str, files: Files, found: Store) -> list[Finding]:
    which = [i for i, remark in enumerate(found.remarks) if remark == ANIMATED]
    says = (
        f"{counted(len(which), 'file')} with several pictures, of which the first is read. With "
        f"--video {quote(name)} all are, as frames"
    )
    return _said(name, says, files.rows_of(which), "done")


def _flat(name: str, files: Files, found: Store) -> list[Finding]:
    if found.near is None:
        return []
    flat = set(np.flatnonzero(found.near == NONE).tolist()) - set(found.broken)
    readable = len(files.paths) - len(found.broken)
    if len(flat) <= MOST_FLAT * readable:
        return []
    says = (
        f"{len(flat):,} of {counted(readable, 'image')} show no pattern, nearly one shade each. "
        "Look at one, and whether its values fill their range"
    )
    return _said(name, says, files.rows_of(flat), "note")


def axes(name: str, shape: Shape) -> list[Finding]:
    """Of the series of a column: which axis time runs along, where that is not plain."""
    if shape.media == "series" and shape.turned:
        says = (
            f"each has {shape.depth:,} rows of different lengths, read as channels: time runs "
            "along the second axis"
        )
        return [Finding(name, says, "done")]
    if shape.media == "series" and shape.depth > shape.size:
        says = (
            f"each has at most {shape.size:,} steps of {shape.depth:,} channels, since time runs "
            "along the first axis. Write each the other way round if time is the second"
        )
        return [Finding(name, says)]
    return []


def _cut(name: str, rows: Sequence[int], kept: str) -> list[Finding]:
    return _said(name, f"{counted(len(rows), 'row')} cut to the first {kept}", rows, "done")


def _said(name: str, says: str, rows: Sequence[int], level: Level) -> list[Finding]:
    """Nothing, if there is no row that it is true of."""
    each = tuple(rows_named([row]) for row in rows)
    return [Finding(name, f"{says}: {rows_named(rows)}", level, each)] if rows else []
