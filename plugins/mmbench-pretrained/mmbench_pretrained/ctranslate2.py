"""Reader of CTranslate2's ``model.bin`` (version 6): a plain list of named arrays, no code.

Layout, little-endian: version u32; name of the model; revision u32; count u32; then for each array
its name, rank u8, dimensions u32, type u8, size in bytes u32, content. A name is its length u16 and
that many bytes, the last of them zero.
"""

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mmbench.api import DataUnavailable

VERSION = 6
TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def take(self, size: int) -> bytes:
        taken = self.content[self.at : self.at + size]
        if len(taken) < size:
            raise DataUnavailable("The CTranslate2 model ends too early.")
        self.at += size
        return taken

    def numbers(self, layout: str) -> tuple[int, ...]:
        return struct.unpack(f"<{layout}", self.take(struct.calcsize(f"<{layout}")))

    def text(self) -> str:
        return self.take(self.numbers("H")[0]).rstrip(b"\0").decode()


def arrays(content: bytes, prefix: str) -> dict[str, NDArray[np.generic]]:
    """Those arrays whose names start with ``prefix``, by the rest of their names."""
    found = {name: array for name, array in _all(content) if name.startswith(prefix)}
    return {name.removeprefix(prefix): array for name, array in found.items()}


def _all(content: bytes) -> Iterator[tuple[str, NDArray[np.generic]]]:
    read = _Reader(content)
    (version,) = read.numbers("I")
    if version != VERSION:
        raise DataUnavailable(f"CTranslate2 models of version {version} are not read, only 6.")
    read.text()
    _, count = read.numbers("II")
    for _ in range(count):
        name = read.text()
        (rank,) = read.numbers("B")
        shape = read.numbers(f"{rank}I")
        kind, size = read.numbers("BI")
        if kind not in TYPES:
            raise DataUnavailable(f"The CTranslate2 array {name} is of the unknown type {kind}.")
        yield name, np.frombuffer(read.take(size), TYPES[kind]).reshape(shape)
