"""Files decoded once, at the size that models read, into one file that is read row by row.

50 GB of photographs are 1.2 GB at 64 × 64. Each file is opened once in the life of the data:
that finds the broken ones before anything is trained, and every later read is one ``pread``, which
leaves nothing in memory. Memory is flat whatever the number of files.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from mmbench.cache import cache_root
from mmbench.errors import StorageError
from mmbench.files import write_whole
from mmbench.tables import media
from mmbench.tables.copies import PRINT, near_copies
from mmbench.tables.media import ABSENT, FULL_SCALE, Array, Broken, Decoded, Shape

SCHEMA = 4
CHUNK = 64
"""Files under way at a time."""

Progress = Callable[[int, int], None]
"""Told how many files are decoded, of how many."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Lazy values: some rows of a file of arrays of one shape. Small enough to send to workers."""

    file: Path
    shape: tuple[int, ...]
    dtype: str
    which: Tensor  # (values,) int64, the place of each value in the file
    offset: int = 0
    """Bytes before the first value."""
    scale: float = 0.0
    """What whole numbers are divided by to be read as float32; 0: they are left as they are."""

    def __len__(self) -> int:
        return len(self.which)

    def __getitem__(self, index: Tensor) -> Tensor:
        """(index, *shape), read now."""
        dtype = np.dtype(self.dtype)
        found = np.empty((len(index), *self.shape), dtype)
        size = found[0].nbytes if len(index) else 0
        with self.file.open("rb", buffering=0) as file:
            for row, place in zip(found, self.which[index].tolist(), strict=True):
                file.seek(self.offset + place * size)
                if file.readinto(row.reshape(-1).view(np.uint8)) != size:
                    raise StorageError(f"{self.file} was cut short. Delete it and start again.")
        values = torch.from_numpy(found)
        return values.float() / self.scale if self.scale else values

    def subset(self, which: Tensor) -> "Stored":
        return replace(self, which=self.which[which])


def of_npy(path: Path) -> Stored:
    """The entries of a .npy file along its first axis, read when they are asked for."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else None
        read = read or np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        offset = file.tell()
    if fortran or dtype.hasobject or not shape:
        raise ValueError("it holds no plain array in C order")
    if path.stat().st_size < offset + math.prod(shape) * dtype.itemsize:
        raise ValueError("it was cut short")
    return Stored(path, shape[1:], dtype.str, torch.arange(shape[0]), offset)


@dataclass(frozen=True, slots=True)
class Store:
    """All files of a column, decoded; those that are broken hold zeros."""

    values: Stored
    digests: tuple[str, ...]
    """Of each file's bytes; empty where it is broken."""
    broken: Mapping[int, str]
    """Which files, and why."""
    remarks: tuple[str, ...]
    cut: tuple[int, ...]
    """Which files are longer than what is kept of them."""
    near: Array | None
    """(files,) a number for all near-copies of one image; None unless these are images."""


def store(files: Sequence[Path], shape: Shape, progress: Progress = lambda *_: None) -> Store:
    """The files decoded: from the cache if none has changed, else anew."""
    folder = cache_root() / "data" / "tables" / _key(files, shape)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            if not (folder / "index.json").exists():
                _room_for(len(files), shape, folder)
                _build(files, shape, folder, progress)
    except OSError as error:
        raise StorageError(
            f"Decoded files cannot be kept in {folder}: {error}. "
            "Free some space, or set MMBENCH_CACHE to a folder that can be written."
        ) from error
    return _open(folder, len(files), shape)


def _key(files: Sequence[Path], shape: Shape) -> str:
    digest = hashlib.sha256(f"{SCHEMA} {shape}".encode())
    for path in files:
        try:
            stat = path.stat()
            digest.update(f"{path.absolute()} {stat.st_size} {stat.st_mtime_ns}\n".encode())
            if path.is_dir():
                digest.update(_inside(path).encode())
        except (OSError, ValueError):  # also a name too long, or with a NUL, for any file
            digest.update(f"{path.absolute()} absent\n".encode())
    return digest.hexdigest()[:24]


def _inside(folder: Path) -> str:
    """The frames as they are now: a folder knows nothing of a file that was written over."""
    frames = [(p.name, p.stat()) for p in media.inside(folder)]
    return "".join(f"{name} {stat.st_size} {stat.st_mtime_ns}\n" for name, stat in frames)


def _room_for(n: int, shape: Shape, folder: Path) -> None:
    """Before hours are spent: whether there is space for all."""
    needed = n * int(np.prod(shape.dims)) * shape.dtype.itemsize
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(
            f"{n:,} files decoded to {'×'.join(map(str, shape.dims))} take {needed / 2**30:.1f} "
            f"GiB; {folder} has {free / 2**30:.1f} GiB. Set MMBENCH_CACHE to a larger disk, or "
            "choose a smaller --image-size or --audio-seconds."
        )


def _build(files: Sequence[Path], shape: Shape, folder: Path, progress: Progress) -> None:
    """Renamed when whole; the index, written last, says that all is there."""
    index: dict[str, Any] = {"digests": [], "broken": {}, "remarks": [], "cut": []}
    nothing = np.zeros(shape.dims, shape.dtype)
    partial = folder / "values.part"
    prints = np.zeros((len(files), PRINT * PRINT), np.uint8)
    with partial.open("wb") as out:
        for number, (digest, found) in enumerate(_decoded(files, shape)):
            if isinstance(found, Broken):
                index["broken"][number] = str(found)
                found = Decoded(nothing)
            out.write(np.ascontiguousarray(found.values, shape.dtype).data)
            index["digests"].append(digest)
            index["remarks"].append(found.remark)
            index["cut"] += [number] if found.cut else []
            if shape.media == "image":
                prints[number] = thumbnail(found.values)
            progress(number + 1, len(files))
    partial.replace(folder / "values")
    if shape.media == "image":
        np.save(folder / "near.npy", near_copies(prints, index["broken"]))
    write_whole(folder / "index.json", json.dumps(index))


def _decoded(files: Sequence[Path], shape: Shape) -> Iterator[tuple[str, Decoded | Broken]]:
    """In order; decoders work outside Python's lock, so threads help."""

    def one(path: Path) -> tuple[str, Decoded | Broken]:
        try:
            return _digest(path), media.decode(path, shape)
        except Broken as broken:
            return "", broken

    with ThreadPoolExecutor(min(8, len(os.sched_getaffinity(0)))) as pool:
        for first in range(0, len(files), CHUNK):
            yield from pool.map(one, files[first : first + CHUNK])


def _digest(path: Path) -> str:
    try:
        if path.is_dir():
            inner = "".join(_digest(p) for p in media.inside(path) if p.is_file())
            return hashlib.sha256(inner.encode()).hexdigest()[:24]
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:24]
    except (OSError, ValueError) as error:
        raise Broken(ABSENT if isinstance(error, FileNotFoundError) else str(error)) from None


def thumbnail(pixels: Array) -> Array:
    """(256,) uint8: the mean grey of each cell of a 16 × 16 grid over (3, height, width)."""
    grey = torch.from_numpy(pixels).float().mean(0, keepdim=True).unsqueeze(0)
    small: Array = torch.nn.functional.adaptive_avg_pool2d(grey, PRINT).byte().numpy()
    return small.reshape(-1)


def _open(folder: Path, n: int, shape: Shape) -> Store:
    index = json.loads((folder / "index.json").read_text())
    near, scale = folder / "near.npy", FULL_SCALE if shape.media == "audio" else 0.0
    return Store(
        Stored(folder / "values", shape.dims, shape.dtype.str, torch.arange(n), scale=scale),
        tuple(index["digests"]),
        {int(number): why for number, why in index["broken"].items()},
        tuple(index["remarks"]),
        tuple(index["cut"]),
        np.load(near) if near.exists() else None,
    )
