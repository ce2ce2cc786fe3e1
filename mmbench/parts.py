"""Where the parts of a data set meet: what two of them share, and a hash of each.

A source (an image, a subject) in two parts lets a model remember instead of understand, and so does
a row whose values recur: both are refused before anything is scored on test. Single values may
recur (the questions of a test all occur in training); only whole rows count.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations

from torch import Tensor

from mmbench.errors import Leak
from mmbench.types import MISSING, Column, Encoded, Part, Split

PARTS: tuple[Part, ...] = ("train", "val", "test")
DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Overlap:
    """What two parts have in common."""

    one: Part
    other: Part
    sources: list[int]
    """The sources that are in both."""
    rows: list[int]
    """The rows of ``other`` whose values, over all modalities, are those of a row of ``one``."""

    def __bool__(self) -> bool:
        return bool(self.sources or self.rows)

    def __str__(self) -> str:
        found = []
        if self.sources:
            found.append(f"{len(self.sources)} source(s), such as {self.sources[0]}")
        if self.rows:
            found.append(
                f"{len(self.rows)} equal row(s), such as row {self.rows[0]} of {self.other}"
            )
        return f"{self.one} and {self.other} share {' and '.join(found) or 'nothing'}"


def overlaps(parts: Mapping[Part, Split]) -> list[Overlap]:
    """Every two parts, with what they share."""
    sources = {part: _sources(split) for part, split in parts.items()}
    rows = {part: row_digests(split) for part, split in parts.items()}
    found = []
    for one, other in combinations(parts, 2):
        known = {digest for digest in rows[one] if digest}
        again = [row for row, digest in enumerate(rows[other]) if digest in known]
        found.append(Overlap(one, other, sorted(sources[one] & sources[other]), again))
    return found


def check_parts(parts: Mapping[Part, Split], name: str, *, rows_may_recur: bool = False) -> None:
    """Raise ``Leak`` if a source or a whole row of the data set ``name`` is in two parts.

    ``rows_may_recur``: only sources count, as the data set says of itself.
    """
    found = overlaps(parts)
    if rows_may_recur:
        found = [replace(overlap, rows=[]) for overlap in found]
    if shared := [str(overlap) for overlap in found if overlap]:
        raise Leak(
            f"dataset {name!r}: {'; '.join(shared)}. Split by source, and put rows with equal "
            f"values into one part."
        )


def split_digest(split: Split) -> str:
    """SHA-256 over the target and the sources of a part, in the order of its rows."""
    digest = hashlib.sha256()
    for tensor in (split.target, split.source):
        if tensor is not None:
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(_bytes(tensor))
    return digest.hexdigest()


def content_digest(split: Split) -> str:
    """SHA-256 over all a part holds, values included; decodes nothing, so lazy values are refused.

    The order of rows and of values counts; types and shapes do too.
    """
    digest = hashlib.sha256()
    for modality in sorted(split.columns):
        column = split.columns[modality]
        if not isinstance(column.values, Tensor | tuple):
            raise TypeError(f"The values of {modality!r} are not in memory.")
        digest.update(modality.encode())
        _feed(digest, column.values)
        _feed(digest, column.index)
    _feed(digest, split.target)
    for name in sorted(split.slices):
        digest.update(name.encode())
        _feed(digest, tuple(split.slices[name]))
    _feed(digest, split.source)
    return digest.hexdigest()


def _feed(digest: "hashlib._Hash", values: Tensor | tuple[str, ...] | None) -> None:
    if isinstance(values, Tensor):
        digest.update(f"{values.dtype}{tuple(values.shape)}".encode())
        digest.update(values.detach().cpu().contiguous().numpy().data)
    elif values is not None:
        digest.update(repr(values).encode())


def row_digests(split: Split) -> list[bytes]:
    """What each row holds over all modalities; empty where nothing can be said.

    That is a row that misses every modality, and any row of a data set with lazy values: decoding
    them all would take longer than the training.
    """
    columns = [split.columns[m] for m in sorted(split.columns)]
    if not all(isinstance(c.values, Tensor | tuple) for c in columns):
        return [b""] * len(split)
    each = zip(*map(_value_digests, columns), strict=True)
    return [b"".join(d or b"-" for d in digests) if any(digests) else b"" for digests in each]


def _value_digests(column: Column) -> list[bytes]:
    """One digest per row; empty where the modality is missing."""
    values = column.values
    assert not isinstance(values, Encoded)
    if isinstance(values, tuple):
        found = [_digest(text.encode()) for text in values]
    else:
        found = [_digest(_bytes(values[i : i + 1])) for i in range(len(values))]  # type: ignore[index]
    if column.index is None:
        return found
    return [b"" if i == MISSING else found[i] for i in column.index.tolist()]


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().numpy().tobytes()


def _sources(split: Split) -> set[int]:
    return set() if split.source is None else set(split.source.tolist())
