"""Single values that a user hands to a model: a path, a picture, an array, a text, numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmbench.errors import UnusableData
from mmbench.tables.cells import is_empty
from mmbench.tables.endings import located
from mmbench.tables.findings import Finding, counted, rows_named, so_missing
from mmbench.tables.kinds import sequence
from mmbench.tables.media import Array, Broken, Shape, decode, fit_sound, series, shrunk
from mmbench.types import MISSING, Column

OnBroken = Callable[[str, int, Any, Broken], None]
"""Is told the column, the row, the cell and the reason of what cannot be read."""


def refuse(name: str, row: int, cell: Any, why: Broken) -> None:
    raise UnusableData(
        f"{name!r}, row {row + 1}: {cell!r} cannot be read: {why}. Leave it empty, and the model "
        "goes by the other modalities."
    )


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
    if shape.media == "image":
        return shrunk(_picture(cell), shape.size)
    if shape.media == "series":
        found = sequence(cell)
        if found is None:
            raise Broken("it is no sequence of numbers")
        return series(found, shape)
    if shape.media == "audio":
        return fit_sound(np.asarray(cell, dtype=np.float32).reshape(-1), shape.size)
    raise Broken("a video is given as a folder of frames")


def _picture(cell: Any) -> Any:
    from PIL import Image

    if isinstance(cell, Image.Image):
        return cell
    pixels = np.asarray(cell)
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3) and pixels.shape[2] not in (1, 3):
        pixels = pixels.transpose(1, 2, 0)
    if pixels.dtype != np.uint8:
        raise Broken("an array of pixels holds whole numbers from 0 to 255 (uint8)")
    return Image.fromarray(pixels.squeeze())
