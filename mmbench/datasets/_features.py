"""What the columns of the library ``datasets`` hold, by their features and by what lies in them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmbench.datasets._arrow import MEDIA, MediaKind
from mmbench.tables.kinds import Seems, infer_kind
from mmbench.tables.media import Broken, decode_sound, picture

PARTS_OF_A_FILE = {"bytes", "path"}
UNREAD = frozenset({"Video", "Pdf", "Nifti", "Mesh"})
"""Features of the library that nothing here decodes."""


def with_files(rows: Any) -> Any:
    """Columns of pictures and sounds as such, not decoded, however they were written.

    What another program than the library wrote holds bytes, alone or beside a path.
    """
    import datasets

    for name, feature in rows.features.items():
        if type(feature).__name__ in MEDIA:
            rows = rows.cast_column(name, type(feature)(decode=False))
        elif _may_be_files(feature) and (kind := _kind_of_bytes(rows.select_columns([name]))):
            as_files = datasets.Image if kind == "image" else datasets.Audio
            rows = rows.cast_column(name, as_files(decode=False))
    return rows


def _may_be_files(feature: Any) -> bool:
    if isinstance(feature, dict):
        return set(feature) == PARTS_OF_A_FILE
    return getattr(feature, "dtype", "") in ("binary", "large_binary")


def _kind_of_bytes(column: Any) -> MediaKind | None:
    """By the first cell that has some: what can be decoded of it."""
    for (cell,) in (row.values() for row in column):
        content = cell["bytes"] if isinstance(cell, dict) else cell
        if content:
            return _kind(content)
    return None


def _kind(content: bytes) -> MediaKind | None:
    try:
        picture(content, 1)
    except (OSError, ValueError, SyntaxError, Broken):
        return "audio" if _is_sound(content) else None
    return "image"


def _is_sound(content: bytes) -> bool:
    import soundfile

    try:
        decode_sound(io.BytesIO(content))
    except (soundfile.SoundFileError, Broken):
        return False
    return True


def file_kind(feature: Any) -> MediaKind | None:
    """Of a column of files."""
    return MEDIA.get(type(feature).__name__)


def plain(table: pd.DataFrame, features: Any) -> pd.DataFrame:
    """Arrays of a fixed shape as those of a table of one's own; classes by their names."""
    for name, feature in features.items():
        if name not in table:
            continue
        inner = getattr(feature, "feature", None)
        if type(feature).__name__.startswith("Array"):
            arrays = [None if cell is None else np.asarray(cell) for cell in table[name]]
            table[name] = pd.Series(arrays, table.index, dtype=object)
        elif hasattr(inner, "int2str"):
            table[name] = table[name].map(
                lambda codes, classes=inner: [classes.int2str(int(code)) for code in codes],
                na_action="ignore",
            )
    return table


def seems(cells: pd.Series, feature: Any, *, pairs: bool) -> Seems:
    """Only what lies in the table itself: a path in it is no file of the data set."""
    inner = type(getattr(feature, "feature", None)).__name__
    if inner in MEDIA:
        return Seems("ignored", "lists of files; of a row, one is read")
    if {inner, type(feature).__name__} & UNREAD:
        return Seems("ignored", "files of a kind that is not decoded")
    found = infer_kind(cells, Path())
    if pairs and found.kind == "category":
        return Seems("text", "one side of a pair")  # few captions, each of many pictures
    inside = found.kind in ("text", "number", "category", "date") or (
        found.kind == "series" and not isinstance(cells.dropna().iloc[0], str)
    )
    if inside or found.kind == "ignored":
        return found
    return Seems("ignored", f"{found.why}, which are no files of the data set")
