"""Features on disk: a folder of npy files, written a batch at a time and read through memory maps.

tokens.npy mask.npy pooled.npy   as ``Encoded`` holds them
about.json                       what they are features of, and the SHA-256 of each file

Neither writing nor reading holds more than a batch in memory. A writing that is asked to stop
leaves its whole batches, and the next one goes on from there.
"""

import hashlib
import io
import json
import math
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from mmbench.types import Encoded

NAMES = ("tokens", "mask", "pooled")
ABOUT = "about.json"


class Damaged(Exception):
    """The files are not what was written."""


def write_features(
    folder: Path,
    key: Mapping[str, object],
    encode: Callable[[int], Iterator[Encoded]],
    n_values: int,
    reserve: Callable[[int], None],
) -> None:
    """Write ``n_values`` features into ``folder``, batch after batch.

    ``encode`` gives those from a value on: what was written before a stop is not made again.
    ``reserve`` is told how many bytes are to come as soon as the first batch shows it.
    """
    done = _done_before(folder)
    if 0 < done == n_values:
        return
    batches = encode(done)
    first = next(batches)
    reserve(sum((n_values - done) * getattr(first, n)[:1].nbytes for n in NAMES if len(first)))
    folder.mkdir(parents=True, exist_ok=True)
    dtypes = {name: str(getattr(first, name).dtype) for name in NAMES}
    about: dict[str, Any] = {"key": key, "dtypes": dtypes, "sha256": {}}
    try:
        with ExitStack() as stack:
            files = {n: stack.enter_context((folder / f"{n}.npy").open("a+b")) for n in NAMES}
            arrays = {n: _GrowingArray(files[n], getattr(first, n), n_values) for n in NAMES}
            for batch in chain([first], batches):
                for name, array in arrays.items():
                    array.append(getattr(batch, name))
                about["sha256"] = {n: array.digest.hexdigest() for n, array in arrays.items()}
    finally:
        (folder / ABOUT).write_text(json.dumps(about, indent=2))


def _done_before(folder: Path) -> int:
    """Of how many values a writing that was asked to stop has left the features.

    What one that was killed has left is thrown away.
    """
    try:
        check_content(folder)
        return _rows_in(folder / "pooled.npy")
    except Damaged:
        shutil.rmtree(folder, ignore_errors=True)
        return 0


def _rows_in(path: Path) -> int:
    """How many have been written; the header says how many there will be."""
    with path.open("rb") as file:
        npy.read_magic(file)
        shape, _, kind = npy.read_array_header_2_0(file)
        written = path.stat().st_size - file.tell()
    return int(written // (kind.itemsize * math.prod(shape[1:])))


class _GrowingArray:
    """An npy file whose header is known and whose rows follow; hashed while it is written.

    Written through ``write`` rather than a map: a full disk is then an error, not a crash. What the
    file holds already is gone on with.
    """

    def __init__(self, file: io.BufferedRandom, like: Tensor, n_rows: int) -> None:
        file.seek(0)
        self.file, self.like, self.digest = file, like[:0], hashlib.file_digest(file, "sha256")
        if file.tell():
            return
        kind, shape = _array_of(self.like).dtype.str, (n_rows, *like.shape[1:])
        header = io.BytesIO()
        npy.write_array_header_2_0(header, {"descr": kind, "fortran_order": False, "shape": shape})
        self._write(header.getvalue())

    def append(self, rows: Tensor) -> None:
        if rows.shape[1:] != self.like.shape[1:] or rows.dtype != self.like.dtype:
            raise ValueError(
                f"An encoder gave features {tuple(self.like.shape[1:])} of {self.like.dtype} for "
                f"one batch and {tuple(rows.shape[1:])} of {rows.dtype} for another. A frozen "
                "encoder pads to one length, so that its features can be kept."
            )
        self._write(_array_of(rows).tobytes())

    def _write(self, content: bytes) -> None:
        self.digest.update(content)
        self.file.write(content)


def read_features(folder: Path) -> Encoded:
    """Features as read-only memory maps: what is not touched is not read. May raise ``Damaged``.

    They must not be written to; a batch taken by index is a copy.
    """
    about = read_about(folder)
    try:
        maps = {n: npy.open_memmap(folder / f"{n}.npy", mode="r") for n in NAMES}
        stored = {n: _tensor_of(maps[n], about["dtypes"][n]) for n in NAMES}
        return Encoded(**stored)
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise Damaged(str(error)) from error


def read_about(folder: Path) -> dict[str, Any]:
    """What the features in ``folder`` are; ``Damaged`` if that cannot be read."""
    try:
        about = json.loads((folder / ABOUT).read_text())
        return {part: dict(about[part]) for part in ("key", "dtypes", "sha256")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{ABOUT}: {error}") from error


def check_content(folder: Path) -> None:
    """Read every byte; raises ``Damaged`` unless all are as they were written."""
    expected = read_about(folder)["sha256"]
    for name in NAMES:
        try:
            with (folder / f"{name}.npy").open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise Damaged(str(error)) from error
        if found != expected.get(name):
            raise Damaged(f"the content of {name}.npy does not match its checksum")


def state_of_files(folder: Path) -> tuple[object, ...]:
    """Changes whenever the arrays in ``folder`` are replaced, or written to by ordinary means."""
    stats = [(folder / f"{name}.npy").stat() for name in NAMES]
    return (folder, *((s.st_ino, s.st_size, s.st_mtime_ns) for s in stats))


def _array_of(tensor: Tensor) -> np.ndarray[Any, Any]:
    """Numpy knows no bfloat16: its bits are kept as whole numbers."""
    bits = tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor
    array: np.ndarray[Any, Any] = bits.numpy()
    return array


def _tensor_of(array: np.ndarray[Any, Any], dtype: str) -> Tensor:
    with warnings.catch_warnings():  # torch warns that it cannot protect a read-only map
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        tensor = torch.from_numpy(array)
    if dtype == str(torch.bfloat16) and tensor.dtype == torch.int16:
        return tensor.view(torch.bfloat16)
    if dtype != str(tensor.dtype):
        raise ValueError(f"{ABOUT} says {dtype} of what is {tensor.dtype}")
    return tensor
