"""Pictures and sounds that stay in the Arrow files of the library ``datasets``."""

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mmbench.errors import UnusableData
from mmbench.tables.media import FULL_SCALE, Array, Broken, decode_sound, fit_sound, picture

MediaKind = Literal["image", "audio"]
MEDIA: Mapping[str, MediaKind] = {"Image": "image", "Audio": "audio"}
"""Features of the library that hold files."""
AT_ONCE = 256
"""Rows looked through at a time."""


@dataclass(frozen=True, slots=True)
class ArrowFiles:
    """Lazy values: pictures or sounds in the rows of an Arrow table."""

    rows: Any
    """A ``datasets.Dataset`` whose column is not decoded: a dict of bytes and path."""
    column: str
    kind: MediaKind
    size: int
    """Pixels of a side, or samples."""
    which: Tensor  # (values,)

    def __len__(self) -> int:
        return len(self.which)

    def __getitem__(self, index: Tensor) -> Tensor:
        """(index, 3, size, size) uint8, or (index, size) float32."""
        places = self.which[index].tolist()
        cells = self.rows[places][self.column] if places else []
        found = [self._decoded(c, row) for c, row in zip(cells, places, strict=True)]
        if self.kind == "image":
            blank = np.empty((0, 3, self.size, self.size), np.uint8)
            return torch.from_numpy(np.stack(found) if found else blank)
        sounds = np.stack(found) if found else np.empty((0, self.size), np.int16)
        return torch.from_numpy(sounds).float() / FULL_SCALE

    def _decoded(self, cell: Mapping[str, Any], row: int) -> Array:
        try:
            if self.kind == "image":
                return picture(_content(cell), self.size)
            return fit_sound(decode_sound(io.BytesIO(_content(cell)))[0], self.size)
        except (OSError, ValueError, SyntaxError, Broken) as error:
            raise _unreadable(self.column, row, error) from None


def _unreadable(column: str, row: int, error: Exception) -> UnusableData:
    return UnusableData(
        f"Column {column!r}, row {row + 1}: the file cannot be read: {error}. Take the row out of "
        "the data set."
    )


def content_digest(rows: Any) -> str:
    """SHA-256 of all cells, wherever they lie; of pictures and sounds, of the bytes of each."""
    digest = hashlib.sha256()
    for name, feature in rows.features.items():
        kind = rows.data.schema.field(name).type
        digest.update(f"{name} {kind} {getattr(feature, 'names', '')}\n".encode())
        if type(feature).__name__ in MEDIA:
            digest.update("\n".join(map(str, digests(rows, name))).encode())
            continue
        for batch in rows.select_columns([name]).with_format("arrow").iter(AT_ONCE):
            for record in batch.combine_chunks().to_batches():
                digest.update(record.serialize())
    return digest.hexdigest()


def present(rows: Any, column: str) -> np.ndarray:
    """(rows,) whether a cell holds a file."""
    arrow = rows.select_columns([column]).with_format("arrow")
    found = [_filled(batch.column(column).combine_chunks()) for batch in arrow.iter(AT_ONCE)]
    return np.concatenate(found)


def _filled(cells: Any) -> np.ndarray:
    """As ``_holds``, of an Arrow array, without the bytes."""
    nothing = [np.asarray(cells.field(part).is_null()) for part in ("bytes", "path")]
    absent: np.ndarray = np.asarray(cells.is_null()) | np.logical_and(*nothing)
    return ~absent.astype(bool)


def _holds(cell: Mapping[str, Any] | None) -> bool:
    return cell is not None and (cell["bytes"] is not None or cell["path"] is not None)


def digests(rows: Any, column: str) -> Iterator[str | None]:
    """Of the content of each cell, in order; None where there is no file."""
    batches = rows.select_columns([column]).iter(AT_ONCE)
    for row, cell in enumerate(cell for batch in batches for cell in batch[column]):
        try:
            yield hashlib.sha256(_content(cell)).hexdigest() if _holds(cell) else None
        except OSError as error:
            raise _unreadable(column, row, error) from None


def _content(cell: Mapping[str, Any]) -> bytes:
    inside: bytes | None = cell["bytes"]
    return Path(cell["path"]).read_bytes() if inside is None else inside
