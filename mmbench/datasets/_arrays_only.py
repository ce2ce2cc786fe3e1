"""Pickles of plain arrays, read without running what they say: all else is refused by name."""

import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mmbench.errors import DataUnavailable

ALLOWED = frozenset(
    {
        *((f"numpy.{core}.multiarray", name) for core in ("core", "_core")
          for name in ("_reconstruct", "scalar")),
        *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),  # how Python 2 bytes are written
    }
)  # fmt: skip
"""What an array is rebuilt with; none of it runs code that the file brings."""


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no array")
        return super().find_class(module, name)


def read_pickle(path: Path) -> Any:
    """Dicts, lists, strings, numbers and arrays. Raises ``DataUnavailable`` for anything else."""
    with path.open("rb") as file:
        return _unpickled(file, str(path))


def read_objects(file: BinaryIO, name: str) -> Any:
    """The same from a ``.npy`` file of objects: a header, then a pickle."""
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    return _unpickled(file, name)


def _unpickled(file: BinaryIO, name: str) -> Any:
    try:
        return _ArraysOnly(file, encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, AttributeError, TypeError) as error:
        raise DataUnavailable(f"{name} was not read: {error}.") from None


def read_hdf5(path: Path) -> dict[str, dict[str, Any]]:
    """Groups of arrays, two levels deep."""
    try:
        import h5py
    except ImportError:
        raise DataUnavailable(
            f"{path} is HDF5, which h5py reads: pip install 'mmbench[hdf5]'."
        ) from None
    with h5py.File(path) as file:
        return {
            name: {key: array[()] for key, array in group.items()} for name, group in file.items()
        }
