"""Pictures to pixels, recordings to samples."""

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmbench.api import DataUnavailable

DOTS_PER_INCH = 96
RATE, SECONDS = 16_000, 4.0
"""Clips are at 16 kHz; nine in ten end before 2.5 s, the rest is cut."""


def picture(file: Path, size: int) -> Tensor:
    """(3, size, size) uint8: on white, centred, its longer side filled."""
    from PIL import Image, UnidentifiedImageError

    try:
        content = io.BytesIO(drawn(file, size)) if file.suffix == ".svg" else file
        with Image.open(content) as image:
            coloured = image.convert("RGBA")
    except (OSError, ValueError, UnidentifiedImageError) as error:
        raise DataUnavailable(f"The picture {file} cannot be read: {error}.") from error
    coloured.thumbnail((size, size))
    canvas = Image.new("RGBA", (size, size), "white")
    corner = ((size - coloured.width) // 2, (size - coloured.height) // 2)
    canvas.alpha_composite(coloured, corner)
    return torch.from_numpy(np.asarray(canvas.convert("RGB")).copy()).permute(2, 0, 1)


def drawn(file: Path, size: int) -> bytes:
    """An SVG drawing as PNG, its width four times what is needed.

    Without ``dpi`` a drawing whose size is in points or centimetres has no size.
    """
    import resvg_py

    return bytes(
        resvg_py.svg_to_bytes(
            svg_path=str(file), width=4 * size, dpi=DOTS_PER_INCH, skip_system_fonts=True
        )
    )


def clip(file: Path) -> Tensor:
    """(samples,) mono at 16 kHz, floating point from −1 to 1."""
    import soundfile
    from torchaudio.functional import resample

    try:
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise DataUnavailable(f"The recording {file} cannot be read: {error}.") from error
    whole = resample(torch.from_numpy(samples).mean(1), rate, RATE)
    return whole[: int(SECONDS * RATE)].clamp(-1, 1)


def padded(clips: list[Tensor]) -> Tensor:
    """(clips, samples) with NaN after the end of each."""
    longest = max((len(c) for c in clips), default=1)
    together = torch.full((len(clips), longest), torch.nan)
    for row, one in enumerate(clips):
        together[row, : len(one)] = one
    return together
