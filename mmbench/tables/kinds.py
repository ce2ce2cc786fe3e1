"""What each column is: a path to an image, a text, a number, a category … and why it seems so."""

import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from mmbench.tables.cells import as_text, categories, strings, with_value
from mmbench.tables.dates import is_date
from mmbench.tables.endings import PICTURES, READ, UNREAD, ending, located
from mmbench.tables.numbers import CODE, MOST, THOUSANDS, are_numbers, as_numbers, share_of

ColumnKind = Literal[
    "image", "audio", "video", "series", "text", "number", "category", "date", "ignored"
]
COLUMN_KINDS: tuple[ColumnKind, ...] = get_args(ColumnKind)
SERIAL = re.compile(r"[^\W\d_]{0,8}[-_]?\d{2,}|[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.I)
"""A name that counts: SKU-00012, a UUID."""
SAMPLE = 500
"""Cells that are looked at to tell the kind of a column."""
LONGEST_NAME = 255
"""Letters of a folder's name; what is longer is a text."""
FEW_VALUES = 50
"""A column of so few distinct strings holds categories."""
FEWEST_STEPS, WHOLE_STEPS = 3, 8
"""Numbers with blanks between them, before they are taken for a sequence: of fewer whole ones may
be a telephone's number."""


@dataclass(frozen=True, slots=True)
class Seems:
    """The kind of a column, and the reason in a few words."""

    kind: ColumnKind
    why: str


def infer_kind(cells: pd.Series, folder: Path) -> Seems:
    """What a column seems to be; ``folder`` is where relative paths start."""
    there = cells.dropna()
    if len(there) == 0:
        return Seems("ignored", "it is empty")
    if why := _unreadable(there.iloc[0]):
        return Seems("ignored", why)
    if len(there) == len(cells) and _is_constant(there):
        return Seems("ignored", f"all rows hold {as_text(there.iloc[0])!r}")
    if pd.api.types.is_datetime64_any_dtype(cells):
        return Seems("date", "dates")
    if pd.api.types.is_bool_dtype(there):
        return Seems("category", "yes or no")
    if pd.api.types.is_timedelta64_dtype(cells):
        return Seems("number", "durations, in seconds")
    if pd.api.types.is_numeric_dtype(cells):
        return _of_numbers(cells)
    told = with_value(there).dropna()
    told = told if len(told) else there
    sample = told.iloc[np.linspace(0, len(told) - 1, min(SAMPLE, len(told))).astype(int)]
    if share_of(sample, _is_sequence) >= MOST:
        return Seems("series", "sequences of numbers")
    return _of_strings(strings(there), strings(sample), str(cells.name), folder)


def _unreadable(cell: object) -> str:
    """Why a cell is no value, empty if it is one."""
    inside = cell.get("bytes") if isinstance(cell, dict) else cell
    if isinstance(inside, bytes):
        return "bytes; write each as a file, and its path in the cell"
    if isinstance(cell, dict):
        return "records; give each of their fields a column"
    return ""


def _is_constant(cells: pd.Series) -> bool:
    """Whether all say the same: beside empty cells, a single value says something."""
    texts = (as_text(cell).strip() for cell in cells)
    first = next(texts)
    return all(text == first for text in texts)


def _of_numbers(cells: pd.Series) -> Seems:
    whole = pd.api.types.is_integer_dtype(cells)
    if whole and cells.nunique() == len(cells) and _is_identifier(str(cells.name)):
        return Seems("ignored", "a number of its own for each row: an identifier")
    return Seems("number", "whole numbers" if whole else "numbers")


def _of_files(sample: pd.Series, name: str, folder: Path) -> Seems | None:
    """Of a column of paths; None where it is none."""
    endings = sample.map(ending)
    for kind, suffixes in READ.items():
        if endings.isin(suffixes).mean() >= MOST:
            return Seems(kind, f"paths that end in {endings.mode().iloc[0]}")
    for instead, suffixes in UNREAD.items():
        if endings.isin(suffixes).mean() >= MOST:
            why = f"files that end in {endings.mode().iloc[0]} are not decoded; write each as"
            return Seems("ignored", f"{why} {instead}")
    if _name_files(sample, folder):
        why = "files of a kind that their names do not tell; say it, as in --image"
        return Seems("ignored", f"{why} {quote(name)}")
    return None


def _of_strings(cells: pd.Series, sample: pd.Series, name: str, folder: Path) -> Seems:
    if seems := _of_files(sample, name, folder):
        return seems
    distinct = categories(cells).nunique()
    repeated = distinct <= len(cells) / 2
    if not repeated and share_of(sample, partial(_holds_frames, folder=folder)) >= MOST:
        return Seems("video", "folders of frames")
    if share_of(sample, is_date) >= MOST:
        return Seems("date", f"dates such as {sample.iloc[0]!r}")
    if are_numbers(cells):
        each = as_numbers(cells).notna().all()
        return Seems("number", "numbers" if each else "numbers, some cells are not")
    words = sample.map(lambda s: len(s.split())).mean()
    named = _is_identifier(name) or any(
        share_of(sample, counts.fullmatch) >= MOST for counts in (CODE, SERIAL)
    )
    if distinct == len(cells) and words <= 1 and named:
        return Seems("ignored", "a name of its own for each row: an identifier")
    if repeated and (distinct <= FEW_VALUES or words < 3):
        return Seems("category", f"{distinct:,} distinct values")
    return Seems("text", f"{words:.0f} words on average" if words >= 2 else "short texts")


def _holds_frames(cell: str, folder: Path) -> bool:
    """Classes of pictures are names of folders as well, but such a cell stands in many rows."""
    if len(cell) > LONGEST_NAME or not (place := located(folder, cell)).is_dir():
        return False
    return any(path.suffix.lower() in PICTURES for path in place.glob("*"))


def _name_files(sample: pd.Series, folder: Path) -> bool:
    """Whether most are there; folders alone may be those of classes."""
    places = [located(folder, cell) for cell in sample if len(cell) <= LONGEST_NAME]
    there = [place for place in places if place.exists()]
    return len(there) >= MOST * len(sample) and any(map(Path.is_file, there))


def sequence(cell: Any) -> np.ndarray | None:
    """Numbers (time,) or (time, channels) of a cell: a list, JSON, or numbers with blanks."""
    if isinstance(cell, str):
        text = cell.strip()
        try:
            cell = json.loads(text) if text.startswith("[") else [float(x) for x in text.split()]
        except ValueError:
            return None
    several = isinstance(cell, list | tuple) or getattr(cell, "ndim", 0) > 0  # arrays, tensors too
    if not several or len(cell) == 0:
        return None
    try:
        found = np.asarray(list(cell), dtype=np.float32)
    except (ValueError, TypeError):
        return None
    return found if found.ndim in (1, 2) else None


def _is_sequence(cell: object) -> bool:
    """Of two numbers at least: one alone may be a number, or a category."""
    found = sequence(cell)
    if found is None or len(found) < 2:
        return False
    if not isinstance(cell, str) or cell.strip().startswith("["):
        return True
    if len(found) < FEWEST_STEPS or THOUSANDS.fullmatch(cell.strip()):
        return False
    return "." in cell or "-" in cell or len(found) >= WHOLE_STEPS


def _is_identifier(name: str) -> bool:
    return re.fullmatch(r"(?i)(.*[_ ])?(id|index|key|uuid)|.*Id|unnamed: 0", name) is not None
