"""One file to one array of a fixed shape: images, sounds, frames, series. Reading runs no code."""

import io
import math
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mmbench.errors import first_line
from mmbench.tables.endings import AS_FRAMES, FILMS, PICTURES
from mmbench.tables.no_picture import no_picture

Media = Literal["image", "audio", "video", "series"]
Array = NDArray[Any]
RATE = 16_000
"""Samples a second of every sound, once it is read."""
ROUNDED = RATE // 100
"""A sound that is longer by less is not cut: another rate has other ends."""
FULL_SCALE = 32_767
"""Sounds are kept as 16-bit numbers."""
NO_RANGE = frozenset({"I", "F"})
"""Modes of Pillow, 32-bit numbers, that say neither what is black nor what is white."""
STRETCHED, ANIMATED = "stretched", "animated"
ABSENT = "it does not exist"
"""Why a file is broken that is not there."""


class Broken(Exception):
    """A file that cannot be decoded; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What every file of a column is brought to."""

    media: Media
    size: int = 0
    """Images and frames: height and width in pixels. Sounds: samples. Series: steps."""
    depth: int = 0
    """Videos: frames. Series: channels."""
    turned: bool = False
    """Series that are written as (channels, time)."""

    @property
    def dims(self) -> tuple[int, ...]:
        return {
            "image": (3, self.size, self.size),
            "audio": (self.size,),
            "video": (self.depth, 3, self.size, self.size),
            "series": (self.size, self.depth),
        }[self.media]

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(
            {"image": "uint8", "audio": "int16", "video": "uint8", "series": "float32"}[self.media]
        )


@dataclass(frozen=True, slots=True)
class Decoded:
    """A file's values, and what is worth saying of it."""

    values: Array
    remark: str = ""
    """``44100 Hz``, ``silent``, ``stretched``, ``animated``."""
    cut: bool = False
    """It is longer than what is kept of it."""


def decode(path: Path, shape: Shape) -> Decoded:
    """The values of a file in the shape asked for. Raises ``Broken`` with the reason."""
    try:
        return _DECODERS[shape.media](path, shape)
    except Broken:
        raise
    except FileNotFoundError:
        raise Broken(ABSENT) from None
    except IsADirectoryError:
        raise Broken("it is a folder; those of frames are read as videos") from None
    except Exception as error:  # noqa: BLE001 - a decoder meets arbitrary bytes and may raise anything
        raise Broken(first_line(error)) from None


def _image(path: Path, shape: Shape) -> Decoded:
    with _opened(path.read_bytes(), shape.size) as image:
        remark = ANIMATED if _pictures(image) > 1 else ""
        remark = STRETCHED if image.mode in NO_RANGE else remark
        return Decoded(shrunk(image, shape.size), remark)


def picture(content: bytes, size: int) -> Array:
    """(3, size, size) uint8: upright, in colour, all of it; its aspect is not kept."""
    with _opened(content, size) as image:
        return shrunk(image, size)


def _opened(content: bytes, size: int) -> Any:
    from PIL import Image, UnidentifiedImageError

    warnings.filterwarnings("ignore", module=r"PIL\.")  # which would name no file
    try:
        image = Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        raise Broken(no_picture(content)) from None
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise Broken(f"it has more than {most:,} pixels; write it smaller") from None
    image.draft("RGB", (size, size))  # JPEG: decode no more pixels than are kept
    return image


def shrunk(image: Any, size: int) -> Array:
    """(3, size, size) uint8 of a Pillow image, upright; what is transparent is white."""
    from PIL import Image, ImageOps

    image = _in_bytes(ImageOps.exif_transpose(image))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    small = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))


def _in_bytes(image: Any) -> Any:
    """8 bits a channel, where Pillow would clip: 16 bits keep their range, others are stretched."""
    from PIL import Image

    if image.mode in NO_RANGE:
        pixels = _stretched(np.asarray(image, dtype=np.float64))
    elif image.mode.startswith("I;16"):
        pixels = np.asarray(image) / 257
    else:
        return image
    return Image.fromarray(pixels.round().astype(np.uint8))


def _stretched(pixels: Array) -> Array:
    """From 0, the least, to 255, the greatest; what is not finite counts as the least."""
    finite = np.isfinite(pixels)
    least = pixels[finite].min() if finite.any() else 0.0
    risen: Array = np.where(finite, pixels, least) - least
    return risen * (255 / (risen.max() or 1.0))


def _audio(path: Path, shape: Shape) -> Decoded:
    if path.stat().st_size == 0:
        raise Broken("the file has 0 bytes")
    mono, rate = decode_sound(path)
    remark = "silent" if not np.abs(mono).max() > 0 else f"{rate} Hz"
    return Decoded(fit_sound(mono, shape.size), remark, len(mono) > shape.size + ROUNDED)


def decode_sound(source: Path | io.BytesIO) -> tuple[Array, int]:
    """(samples,) float32 at 16 kHz, channels averaged, and the rate of the file."""
    import soundfile

    samples, rate = soundfile.read(source, dtype="float32", always_2d=True)
    if len(samples) == 0:
        raise Broken("it has 0 samples")
    return resampled(np.nan_to_num(samples.mean(1)), rate), rate


def fit_sound(samples: Array, length: int) -> Array:
    """(length,) int16 of samples at 16 kHz within ±1."""
    heard: Array = (fitted(samples, length, 0.0).clip(-1, 1) * FULL_SCALE).round().astype(np.int16)
    return heard


def resampled(samples: Array, rate: int) -> Array:
    """(samples,) at 16 kHz."""
    if rate == RATE:
        return samples
    import torch
    from torchaudio.functional import resample

    waves: Array = resample(torch.from_numpy(samples), rate, RATE).numpy()
    return waves


def sound_seconds(path: Path) -> float:
    """From the header alone; 0 where there is none."""
    import soundfile

    try:
        return float(soundfile.info(path).duration)
    except (soundfile.SoundFileError, OSError):
        return 0.0


def _video(path: Path, shape: Shape) -> Decoded:
    """Frames evenly spread over a folder of images, in the order of their names, or over a file."""
    read = _of_folder if path.is_dir() else _of_file
    return Decoded(np.stack(read(path, shape)))


def _of_folder(path: Path, shape: Shape) -> list[Array]:
    frames = sorted((p for p in inside(path) if p.suffix.lower() in PICTURES), key=_counted)
    if not frames:
        raise Broken("the folder holds no frames")
    return [_frame(frames[i], shape.size) for i in _spread(len(frames), shape.depth)]


def _frame(path: Path, size: int) -> Array:
    try:
        return picture(path.read_bytes(), size)
    except Exception as error:  # noqa: BLE001 - as in ``decode``
        raise Broken(f"{path.name}: {error}") from None


def _of_file(path: Path, shape: Shape) -> list[Array]:
    """An animated GIF, WebP or PNG; of one picture all frames are that."""
    if path.exists() and path.suffix.lower() in FILMS:
        raise Broken(f"films are not decoded; write each as {AS_FRAMES}")
    frames = []
    with _opened(path.read_bytes(), shape.size) as image:
        for place in _spread(_pictures(image), shape.depth):
            image.seek(place)
            frames.append(shrunk(image, shape.size))
    return frames


def _pictures(image: Any) -> int:
    """How many a file shows one after the other; telephones hide more in an MPO."""
    return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


def _spread(n: int, depth: int) -> list[int]:
    found: list[int] = np.linspace(0, n - 1, depth).round().astype(int).tolist()
    return found


def inside(folder: Path) -> list[Path]:
    """What is not hidden: macOS leaves a ``._f0.png``, which is no image, beside ``f0.png``."""
    return sorted(p for p in folder.iterdir() if not p.name.startswith("."))


def _counted(path: Path) -> list[str | int]:
    """So that ``frame2`` comes before ``frame10``."""
    parts = re.split(r"(\d+)", path.name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]


def _series(path: Path, shape: Shape) -> Decoded:
    values = np.load(path, allow_pickle=False)
    return Decoded(series(values, shape), cut=len(by_time(values, shape)) > shape.size)


def series(values: Array, shape: Shape) -> Array:
    """As ``steps``; without a number there is no series."""
    found = steps(values, shape)
    if not np.isfinite(found).any():
        raise Broken("it holds no number")
    return found


def steps(values: Array, shape: Shape) -> Array:
    """(time, channels): cut or padded with NaN at the end."""
    values = by_time(np.asarray(values, dtype=np.float32), shape)
    if values.ndim != 2 or values.shape[1] != shape.depth:
        raise Broken(f"it has the shape {values.shape}, the others have {shape.depth} channels")
    return fitted(values, shape.size, math.nan)


def by_time(values: Array, shape: Shape) -> Array:
    """(time, channels) of a series as it is written."""
    if values.ndim == 1:
        return values[:, None]
    return values.T if shape.turned else values


def fitted(values: Array, length: int, padding: float) -> Array:
    """Cut or padded at the end along the first axis."""
    short = length - len(values)
    if short <= 0:
        return values[:length]
    return np.concatenate([values, np.full((short, *values.shape[1:]), padding, values.dtype)])


_DECODERS: Mapping[Media, Callable[[Path, Shape], Decoded]] = {
    "image": _image, "audio": _audio, "video": _video, "series": _series,
}  # fmt: skip
