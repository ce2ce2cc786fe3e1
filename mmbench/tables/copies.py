"""Which rows belong together: rows of one owner, of one file, of near-copies, equal rows.

Rows that belong together must be in one part, or a score on one part flatters.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmbench.tables.media import Array

Groups = NDArray[np.int64]
NONE = -1
PRINT = 16
"""Height and width of the grey thumbnail of an image, which near-copies are found with."""
NEAR = 5.0
"""Mean difference of two grey thumbnails, of 255, below which images are near-copies."""
FLAT = 4.0
"""An image whose thumbnail varies less shows too little to be told from another."""
BANDS = 8
BLOCK = 1024
"""Images whose hashes are made at once."""
MOST_COMPARED = 32
"""Images of one band that another one is compared with."""
LARGEST = 0.2
"""Rows that would be tied together by one sign, as a share of all, beyond which it is none."""


@dataclass(frozen=True, slots=True)
class Tied:
    """One sign that rows belong together."""

    sign: str
    keys: Groups  # (rows,) the same key for rows that belong together; NONE for none

    def shared(self) -> NDArray[np.bool_]:
        """(rows,) whether another row has the same key."""
        _, inverse, counts = np.unique(self.keys, return_inverse=True, return_counts=True)
        found: NDArray[np.bool_] = (counts[inverse] > 1) & (self.keys != NONE)
        return found

    def too_common(self) -> bool:
        """One key ties so many rows that a split by it would be no split."""
        there = self.keys[self.keys != NONE]
        if not len(there):
            return False
        return bool(np.unique(there, return_counts=True)[1].max() > LARGEST * len(self.keys))


def keyed(values: Sequence[Hashable | None]) -> Groups:
    """A number for each distinct value; None is no value."""
    known: dict[Hashable, int] = {}
    return np.array(
        [NONE if v is None else known.setdefault(v, len(known)) for v in values], dtype=np.int64
    )


def groups_of(ties: Sequence[Tied], n_rows: int) -> Groups:
    """(rows,) the connected components of all ties."""
    from scipy.sparse import coo_array  # type: ignore[import-untyped]
    from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

    pairs = [_neighbours(tie.keys) for tie in ties]
    edges = np.concatenate([np.empty((0, 2), dtype=np.int64), *pairs])
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(n_rows, n_rows))
    components: Groups = connected_components(graph, directed=False)[1].astype(np.int64)
    return components


def _neighbours(keys: Groups) -> Groups:
    """(pairs, 2) rows with the same key, each with the next."""
    order = np.argsort(keys, kind="stable")
    order = order[keys[order] != NONE]
    same = keys[order[1:]] == keys[order[:-1]]
    return np.stack([order[:-1][same], order[1:][same]], axis=1)


def near_copies(prints: Array, broken: Mapping[int, str]) -> Groups:
    """(images,) a number for all near-copies of one image; NONE for flat and broken ones.

    Images that agree in an eighth of their difference hash (64 signs of neighbouring cells, after
    N. Krawetz, "Kind of Like That", 2013) are compared; they are near-copies if their thumbnails
    differ by little.
    """
    buckets: dict[tuple[int, bytes], list[int]] = {}
    found = np.full(len(prints), NONE, dtype=np.int64)
    for image, (bands, flat) in enumerate(_hashes(prints)):
        if flat or image in broken:
            continue
        mine = [buckets.setdefault((b, bands[b].tobytes()), []) for b in range(BANDS)]
        alike = np.array(sorted({first for bucket in mine for first in bucket[:MOST_COMPARED]}))
        near = alike
        if len(alike):
            difference = prints[alike].astype(np.float32) - prints[image]
            near = alike[np.abs(difference).mean(1) < NEAR]
        found[image] = near[0] if len(near) else image
        if not len(near):
            for bucket in mine:
                bucket.append(image)
    return found


def _hashes(prints: Array) -> Iterator[tuple[Array, bool]]:
    """Of each image: its difference hash (bands, bytes), and whether it is flat."""
    for first in range(0, len(prints), BLOCK):  # not all at once: that takes four times the memory
        grey = prints[first : first + BLOCK].reshape(-1, PRINT, PRINT).astype(np.float32)
        small = grey.reshape(-1, 8, 2, 8, 2).mean((2, 4))
        signs = (np.roll(small, -1, 2) > small).reshape(-1, BANDS, 64 // BANDS)
        yield from zip(np.packbits(signs, axis=2), grey.std((1, 2)) < FLAT, strict=True)
