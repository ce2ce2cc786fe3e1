"""Pickles of plain arrays, read without running what they say: all else is refused by name.

Not even numpy's own ``dtype`` and ``ndarray`` are handed to a file: either would take bytes of its
choice for the addresses of objects. What stands for them here knows numbers, texts and lists.
"""

import pickle
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mmbench.errors import DataUnavailable, first_line

PLAIN = re.compile(r"[<>|=]?[biufcSUO?]\d{0,9}")
"""Types of numbers and texts, and of objects, which are then a list."""


class _Type:
    """The dtype that a pickle asks for: a letter and a size, then the order of its bytes."""

    def __init__(self, code: str, *_: bool) -> None:
        if not PLAIN.fullmatch(code):
            raise pickle.UnpicklingError(f"it has values of the type {code}, which is not plain")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Sequence[Any]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """Empty until its state is set, which is how arrays are pickled."""

    def __setstate__(self, state: Sequence[Any]) -> None:
        *_, shape, kind, by_columns, content = state
        super().__setstate__((1, shape, kind.dtype, by_columns, content))

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Written again it is one of numpy's."""
        return np.asarray(self).__reduce_ex__(protocol)


def _empty(*_: Any) -> _Array:
    return np.ndarray.__new__(_Array, 0, np.int8)


def _scalar(kind: _Type, content: bytes | str) -> Any:
    return _values(_bytes(content), kind)[0]


def _values(content: Any, kind: _Type, shape: Any = -1, order: Any = "C") -> np.ndarray:
    return np.frombuffer(content, kind.dtype).reshape(shape, order=order)


def _bytes(text: bytes | str = b"", *_: str) -> bytes:
    return text.encode("latin1") if isinstance(text, str) else text


ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    **{(f"numpy.{core}.{module}", name): ours for core in ("core", "_core")
       for module, name, ours in (("multiarray", "_reconstruct", _empty),
                                  ("multiarray", "scalar", _scalar),
                                  ("numeric", "_frombuffer", _values))},
    ("numpy", "ndarray"): _empty,  # named, never called
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _bytes,  # how Python 2 writes bytes,
    ("__builtin__", "bytes"): _bytes,  # and how none
}  # fmt: skip
"""What stands here for what an array is rebuilt with."""


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no array")
        ours: Callable[..., Any] = ALLOWED[module, name]
        return lambda *given: ours(*given)  # a file may set attributes of what it is given


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
    except Exception as error:  # noqa: BLE001 - arbitrary bytes may raise anything
        why = first_line(error).rstrip(".")
        raise DataUnavailable(f"{name} was not read: {why}.") from None


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
