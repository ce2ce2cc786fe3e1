"""Single values that a user hands to a model: a path, a picture, an array, a text, numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmbench.errors import UnusableData, first_line
from mmbench.tables.cells import is_empty
from mmbench.tables.endings import located
from mmbench.tables.findings import Finding, counted, rows_named, so_missing
from mmbench.tables.kinds import sequence
from mmbench.tables.media import RATE, Array, Broken, Shape, decode, fit_sound, series, shrunk
from mmbench.types import MISSING, Column

CHANNELS = (1, 2, 3, 4)
"""Of a picture: grey or colour, each opaque or not."""
LOUDEST = 10.0
"""Of a sound within ±1 that is a little too loud, and cut; what is beyond was never within."""

NO_SEQUENCE = "it is no sequence of numbers"

OnBroken = Callable[[str, int, Any, Broken], None]
"""Is told the column, the row, the cell and the reason of what cannot be read."""


def refuse(name: str, row: int, cell: Any, why: Broken) -> None:
    raise UnusableData(
        f"{name!r}, row {row + 1}: {shown(cell)} cannot be read: {why}. Leave it empty, "
        "and the model goes by the other modalities."
    )


def shown(cell: Any) -> str:
    """A cell in a message: of an array its shape, not its numbers."""
    if getattr(cell, "ndim", 0):
        return f"an array {tuple(cell.shape)} of {cell.dtype}"
    return repr(cell)


@dataclass(slots=True)
class Unreadable:
    """Keeps what cannot be read, for a summary: those values are missing ones."""

    cells: dict[str, dict[int, str]] = field(default_factory=dict)
    """By column and row, the file and the reason."""

    def add(self, name: str, row: int, cell: Any, why: Broken) -> None:
        self.cells.setdefault(name, {})[row] = f"{cell}: {why}"

    @property
    def rows(self) -> set[int]:
        return {row for rows in self.cells.values() for row in rows}

    def findings(self) -> list[Finding]:
        return [
            Finding(
                name,
                f"{counted(len(rows), 'file')} cannot be read, {so_missing(rows)}",
                "done",
                tuple(f"{rows_named([row])}: {said}" for row, said in rows.items()),
            )
            for name, rows in self.cells.items()
        ]


def media_column(
    cells: Sequence[Any], shape: Shape, folder: Path, name: str, on_broken: OnBroken = refuse
) -> Column:
    """Decoded now and kept in memory; an empty cell is missing, and so is one that is broken.

    Rows that name one file share its values: it is decoded, and encoded, once.
    """
    values, index = [], []
    places: dict[str, int] = {}
    for row, cell in enumerate(cells):
        if is_empty(cell):
            index.append(MISSING)
            continue
        if isinstance(cell, str) and cell in places:
            index.append(places[cell])
            continue
        try:
            values.append(_decoded(cell, shape, folder))
        except Broken as why:
            on_broken(name, row, cell, why)
            index.append(MISSING)
            continue
        index.append(len(values) - 1)
        if isinstance(cell, str):
            places[cell] = index[-1]
    stacked = np.stack(values) if values else np.empty((0, *shape.dims), shape.dtype)
    found = torch.from_numpy(stacked)
    if shape.media == "audio":
        found = found.float() / np.iinfo(np.int16).max
    return Column(found, torch.tensor(index))


def _decoded(cell: Any, shape: Shape, folder: Path) -> Array:
    """(*shape.dims) of a path, a picture or an array."""
    numbers = shape.media == "series" and sequence(cell) is not None
    if isinstance(cell, str | Path) and not numbers:
        return decode(located(folder, cell), shape).values
    try:
        return _brought(cell, shape)
    except Broken:
        raise
    except Exception as error:  # noqa: BLE001 - as in ``decode``: it may be anything
        raise Broken(first_line(error)) from None


def _brought(cell: Any, shape: Shape) -> Array:
    """(*shape.dims) of what is in memory."""
    if shape.media == "image":
        return shrunk(_picture(cell), shape.size)
    if shape.media == "series":
        found = sequence(cell)
        if found is None:
            raise Broken(NO_SEQUENCE)
        return series(found, shape)
    if shape.media == "audio":
        return fit_sound(_sound(np.asarray(cell)), shape.size)
    raise Broken("a video is given as a folder of frames")


def _picture(cell: Any) -> Any:
    from PIL import Image

    if isinstance(cell, Image.Image):
        return cell
    pixels = np.asarray(cell)
    if pixels.ndim == 3 and pixels.shape[0] in CHANNELS and pixels.shape[2] not in CHANNELS:
        pixels = pixels.transpose(1, 2, 0)
    if pixels.dtype != np.uint8:
        raise Broken("an array of pixels holds whole numbers from 0 to 255 (uint8)")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in CHANNELS or not pixels.size:
        raise Broken("an array of pixels is (height, width) or (height, width, channels)")
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _sound(heard: Array) -> Array:
    """(samples,) within ±1: of 16 or 32 bits by their range, as in a file; channels averaged."""
    if heard.dtype in (np.int16, np.int32):
        heard = heard / -np.iinfo(heard.dtype).min
    heard = heard.astype(np.float32)
    if heard.ndim == 2:
        heard = heard.mean(int(np.argmin(heard.shape)))
    if heard.ndim != 1 or not len(heard) or not np.abs(heard).max() <= LOUDEST:
        raise Broken(
            f"a sound is an array of samples at {RATE:,} Hz, or of channels of them: numbers "
            "within ±1, or whole ones of 16 or 32 bits (int16, int32)"
        )
    return heard
