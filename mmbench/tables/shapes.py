"""What the files and sequences of a column are brought to: the longest decides, within reason."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mmbench.errors import UnusableData
from mmbench.tables.kinds import ColumnKind, sequence
from mmbench.tables.media import RATE, Shape, sound_seconds
from mmbench.tables.options import TableOptions

LONGEST_SECONDS = 10.0
LONGEST_STEPS = 1024


def shape_of_files(kind: ColumnKind, paths: Sequence[Path], options: TableOptions) -> Shape:
    """The shape of every file of a column of this kind."""
    if kind == "image":
        return Shape("image", options.image_size)
    if kind == "video":
        return Shape("video", options.image_size, options.frames)
    if kind == "audio":
        seconds = options.audio_seconds
        if not seconds:
            longest = max(map(sound_seconds, paths), default=0.0)
            seconds = min(LONGEST_SECONDS, longest) or 1.0
        return Shape("audio", math.ceil(seconds * RATE))
    return _of_lengths([dims for path in paths if (dims := _saved_dims(path))], "the .npy files")


def shape_of_sequences(cells: pd.Series) -> Shape:
    """The shape of sequences that lie in the cells themselves."""
    found = [values.shape for cell in cells if (values := sequence(cell)) is not None]
    return _of_lengths(found, f"column {cells.name!r}")


def _saved_dims(path: Path) -> tuple[int, ...] | None:
    try:
        return tuple(np.load(path, mmap_mode="r", allow_pickle=False).shape)
    except (OSError, ValueError, EOFError):
        return None


def _of_lengths(dims: Sequence[tuple[int, ...]], where: str) -> Shape:
    if not dims:
        raise UnusableData(f"There is no sequence of numbers in {where}.")
    turned = _are_turned(dims)
    timed = [d[::-1] if turned else d if len(d) == 2 else (d[0], 1) for d in dims]
    channels = [d[1] for d in timed]
    depth = max(set(channels), key=channels.count)
    return Shape("series", min(LONGEST_STEPS, max(d[0] for d in timed)), depth, turned)


def _are_turned(dims: Sequence[tuple[int, ...]]) -> bool:
    """Whether time is second: lengths differ there, and are the same where channels would be."""
    if any(len(d) != 2 for d in dims):
        return False
    first, second = (len({d[axis] for d in dims}) for axis in (0, 1))
    return first == 1 and second > 1
