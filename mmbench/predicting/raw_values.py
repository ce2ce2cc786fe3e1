"""Values of a task's modality as a user has them, brought to what its model was trained on."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmbench.errors import InvalidParameter
from mmbench.tables.cells import is_empty
from mmbench.tables.media import Shape
from mmbench.tables.samples import OnBroken, media_column
from mmbench.types import MISSING, Column, Kind


def column_like(
    like: object, modality: str, kind: Kind, cells: list[Any], folder: Path, on_broken: OnBroken
) -> Column:
    """``cells`` in the shape of ``like``: values of the modality that the model was trained on."""
    if kind == "text":
        index = torch.tensor([MISSING if is_empty(c) else i for i, c in enumerate(cells)])
        return Column(tuple("" if is_empty(c) else str(c) for c in cells), index)
    assert isinstance(like, Tensor)
    if kind == "tabular":
        return _numbers(modality, cells, like)
    if kind == "image":
        shape = Shape("image", like.shape[-1])
        column = media_column(cells, shape, folder, modality, on_broken)
        return Column(_as_images(column.values, like), column.index)  # type: ignore[arg-type]
    size, depth = like.shape[1], like.shape[2] if like.ndim > 2 else 0
    return media_column(cells, Shape(kind, size, depth), folder, modality, on_broken)


def _numbers(modality: str, cells: list[Any], like: Tensor) -> Column:
    width = like.shape[-1]
    values = torch.full((len(cells), width), torch.nan)
    for row, cell in enumerate(cells):
        if cell is None:
            continue
        values[row] = _vector(modality, cell, width)
    index = torch.tensor([MISSING if c is None else i for i, c in enumerate(cells)])
    return Column(values, index)


def _vector(modality: str, cell: Any, width: int) -> Tensor:
    """(width,) from a list or, as a table has it, from the text of one: ``[0.5, 1]``."""
    try:
        found = torch.as_tensor(json.loads(cell) if isinstance(cell, str) else cell).float()
    except (TypeError, ValueError, RuntimeError):
        found = torch.empty(0)
    if found.shape != (width,) or found.isinf().any():
        raise InvalidParameter(
            f"{modality!r} takes a list of {width} finite numbers; got {str(cell)[:60]!r}."
        )
    return found


def _as_images(pixels: Tensor, like: Tensor) -> Tensor:
    """Pixels (images, 3, size, size) in the channels and the range of those trained on."""
    if like.shape[1] == 1:
        pixels = pixels.float().mean(1, keepdim=True).round().to(torch.uint8)
    if like.is_floating_point() and float(like.max()) <= 1.0:
        return pixels.to(like.dtype) / 255
    return pixels.to(like.dtype)
