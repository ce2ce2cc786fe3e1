"""What a modality is made of for a reader: words, fields, steps, cells, each with a value.

A value is what the part adds to the log-odds of the answer (to the number, for regression).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbench.types import Kind

GRID, SEGMENTS = 8, 64
"""A picture is told in at most 8 × 8 cells, a long series in at most 64 segments."""
LEAVE_ONE_OUT, INTEGRATED = "leaving each out", "integrated gradients"


@dataclass(frozen=True, slots=True)
class Part:
    """One word, field, step or cell."""

    label: str
    value: float


@dataclass(frozen=True, slots=True)
class Explained:
    """One modality in parts."""

    kind: Kind
    method: str
    parts: list[Part]
    map: Tensor | None = None
    """(height, width) of an image: the value of every pixel, over its channels."""
    place: list[int] | None = None
    """Of each word: where it starts in its text."""


def in_parts(kind: Kind, values: Tensor, fields: Sequence[str] = ()) -> Explained:
    """The attribution of one value (…) of a modality, added up over what a reader can name.

    Images are (channels, height, width); tables (fields), which ``fields`` names where it is known
    of which column each is; series and video (time, …); audio (…, time).
    """
    if kind == "image":
        pixels = values.sum(0)
        return Explained(kind, INTEGRATED, _cells(pixels), pixels)
    if kind == "tabular" and len(fields) == values.numel():
        return Explained(kind, INTEGRATED, _by_column(fields, values.flatten()))
    if kind == "tabular":
        return Explained(kind, INTEGRATED, _numbered("field", values.flatten()))
    time = -1 if kind == "audio" else 0
    steps = values.movedim(time, 0).reshape(values.shape[time], -1).sum(1)
    if len(steps) <= SEGMENTS:
        return Explained(kind, INTEGRATED, _numbered("step", steps))
    segments = torch.stack([part.sum() for part in steps.tensor_split(SEGMENTS)])
    return Explained(kind, INTEGRATED, _numbered("segment", segments))


def _by_column(fields: Sequence[str], values: Tensor) -> list[Part]:
    """A date and a category are several entries of one column."""
    sums = dict.fromkeys(fields, 0.0)
    for name, value in zip(fields, values.tolist(), strict=True):
        sums[name] += value
    return [Part(name, value) for name, value in sums.items()]


def _numbered(name: str, values: Tensor) -> list[Part]:
    """From zero, as rows of test and columns of an array are."""
    return [Part(f"{name} {i}", v) for i, v in enumerate(values.tolist())]


def _cells(pixels: Tensor) -> list[Part]:
    """Sums over cells; their sum is that of all pixels."""
    rows, columns = (min(GRID, side) for side in pixels.shape)
    bands = pixels.tensor_split(rows, dim=0)
    return [
        Part(f"row {i}, column {j}", float(cell.sum()))
        for i, band in enumerate(bands)
        for j, cell in enumerate(band.tensor_split(columns, dim=1))
    ]


def smoothed(pixels: Tensor, share: float = 0.03) -> Tensor:
    """For the eye: a mean over a neighbourhood of this share of the shorter side, thrice."""
    size = 2 * max(1, round(share * min(pixels.shape) / 2)) + 1
    blurred = pixels[None, None]
    for _ in range(3):
        padded = F.pad(blurred, [size // 2] * 4, mode="replicate")
        blurred = F.avg_pool2d(padded, size, stride=1)
    return blurred[0, 0]
