"""Features on disk: a folder of npy files, written a batch at a time and read through memory maps.

tokens.npy mask.npy pooled.npy   as ``Encoded`` holds them
about.json                       what they are features of, and the SHA-256 of each file

Neither writing nor reading holds more than a batch in memory.
"""

import hashlib
import io
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

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
    batches: Iterator[Encoded],
    n_values: int,
    reserve: Callable[[int], None],
) -> None:
    """Write ``n_values`` features into the new ``folder``, batch after batch.

    ``reserve`` is told how many bytes there will be as soon as the first batch shows it.
    """
    first = next(batches)
    reserve(sum(n_values * getattr(first, n)[:1].nbytes for n in NAMES if len(first)))
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        arrays = {
            name: _GrowingArray(
                stack.enter_context((folder / f"{name}.npy").open("wb")),
                getattr(first, name),
                n_values,
            )
            for name in NAMES
        }
        for batch in chain([first], batches):
            for name, array in arrays.items():
                array.append(getattr(batch, name))
    about = {
        "key": key,
        "values": n_values,
        "dtypes": {name: str(getattr(first, name).dtype) for name in NAMES},
        "sha256": {name: array.digest.hexdigest() for name, array in arrays.items()},
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=2))


class _GrowingArray:
    """An npy file whose header is known and whose rows follow; hashed while it is written.

    Written through ``write`` rather than a map: a full disk is then an error, not a crash.
    """

    def __init__(self, file: BinaryIO, like: Tensor, n_rows: int) -> None:
        self.file, self.like, self.digest = file, like[:0], hashlib.sha256()
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
        return {"key": about["key"], "dtypes": about["dtypes"], "sha256": about["sha256"]}
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
    return tensor.view(torch.bfloat16) if dtype == str(torch.bfloat16) else tensor
