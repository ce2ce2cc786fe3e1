"""What the ending of a file's name says: what it is read as, or what it is to be written as."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

AS_FRAMES = "a folder of its frames, as PNG or JPEG"
FILMS = frozenset(
    {
        ".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv",
        ".3gp", ".ogv", ".mts", ".m2ts",
    }
)  # fmt: skip
"""Endings of films, whose codecs nothing here reads."""
PICTURES = frozenset(
    {
        ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff",
        ".avif", ".jp2", ".ppm", ".pgm", ".tga", ".ico",
    }
)  # fmt: skip
READ: Mapping[Literal["image", "audio", "series"], frozenset[str]] = {
    "image": PICTURES,
    "audio": frozenset(
        {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".aifc", ".caf", ".w64"}
    ),
    "series": frozenset({".npy"}),
}
"""Endings of files that are decoded, by the kind of a column."""
UNREAD: Mapping[str, frozenset[str]] = {
    AS_FRAMES: FILMS,
    "PNG or JPEG": frozenset(
        {".svg", ".heic", ".heif", ".jxl", ".psd", ".eps", ".exr", ".cr2", ".nef", ".dng"}
    ),
    "WAV or FLAC": frozenset({".m4a", ".aac", ".wma", ".mp2", ".amr", ".ape", ".mid", ".midi"}),
    "PNG or JPEG, or an array as .npy": frozenset({".dcm", ".nii"}),
    "an array (time, channels) as .npy": frozenset(
        {".csv", ".tsv", ".npz", ".mat", ".edf", ".h5", ".hdf5", ".pt", ".pkl", ".parquet"}
    ),
    "the text itself, in the cell": frozenset(
        {".txt", ".md", ".pdf", ".doc", ".docx", ".html", ".htm", ".xml", ".json"}
    ),
}
"""Endings of files that are not decoded, by what each is to be written as."""
QUOTES = "\"'[](){} "
SEVERAL = re.compile(r"\.\w{2,4}[\"']?\s*[;,|]")
"""A name with an ending, and another after it."""


def ending(cell: str) -> str:
    """``.jpg`` of ``a/B.JPG``, of ``["a.jpg", "b.jpg"]`` and of ``https://x.org/b.jpg?size=3``."""
    name = re.split("[?#]", cell)[0] if "://" in cell else cell
    return Path(name.rstrip(QUOTES)).suffix.lower()


def names_several(cell: str) -> bool:
    """Whether a cell names more than one file."""
    return SEVERAL.search(cell) is not None


def located(folder: Path, name: str | Path) -> Path:
    """Where a file lies that a cell names: ``/a.jpg``, ``~/a.jpg``, or below a folder."""
    if str(name).startswith("~/"):
        return Path(name).expanduser()
    return folder / name
