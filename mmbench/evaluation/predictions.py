"""Scores on test, kept beside a row: any metric can be computed again without the model.

One safetensors file with the tensor ``scores`` (seeds, rows, n_outputs), compressed by xz; its
SHA-256 stands in the row. What is scored is what is stored: ``storable`` rounds before anything is
computed, so that a recomputed metric is equal, not merely close.
"""

import hashlib
import json
import lzma
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from torch.nn.functional import one_hot

from mmbench.errors import DataUnavailable
from mmbench.files import read_bounded, write_whole
from mmbench.sequences import said
from mmbench.types import Task

MOST_BYTES = 2**31
MOST_HEADER = 2**12
"""Of a safetensors file with one tensor; also what stands before it."""
MOST_MEMORY = 2**28
"""What a file may make its decompressor take; ours ask for 65 MiB."""
WIDEST = 8
"""Bytes of a number."""


DAMAGES = (
    lzma.LZMAError, SafetensorError, ValueError, LookupError, TypeError, RecursionError
)  # fmt: skip
"""What reading a file that says nonsense may raise."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What predictions are of, as far as that is known without them."""

    seeds: int | None = None
    rows: int | None = None
    outputs: int | None = None


def storable(scores: Tensor, task: Task) -> Tensor:
    """Logits (rows, n_outputs) as float16, those beyond its range at its ends; numbers as float32.

    Eleven bits are plenty for the order of classes. A regression's target may be in the millions.
    Of a sequence 1 for the token said at each place and 0 for the others: its metrics ask no more,
    and that is kept in a hundredth of the space.
    """
    if task.target == "regression":
        return scores.float()
    if task.target == "sequence":
        hot = one_hot(said(scores, task.length), len(task.outputs))
        return hot.flatten(1).half()
    largest = torch.finfo(torch.float16).max
    return scores.clamp(-largest, largest).half()


def write_predictions(path: Path, scores: Sequence[Tensor]) -> str:
    """Write the scores of all seeds; the SHA-256 of the file.

    They are kept as float16 wherever that loses nothing.
    """
    whole = torch.stack(list(scores)).contiguous()
    half = whole.half()
    exact = torch.equal(half.to(whole.dtype), whole)
    packed = lzma.compress(save({"scores": half if exact else whole}), preset=9)
    write_whole(path, packed)
    return hashlib.sha256(packed).hexdigest()


def read_predictions(path: Path, sha256: str, wanted: Wanted = Wanted()) -> list[Tensor]:
    """One (rows, n_outputs) float32 per seed, in the order of the row's seeds.

    Raises ``DataUnavailable`` if the file is missing, is not the one of the row, is damaged, or
    says that it holds others than ``wanted``: a stranger's is unpacked only if it does not.
    """
    try:
        packed = read_bounded(path, MOST_BYTES)
    except OSError as error:
        raise DataUnavailable(
            f"The predictions {path} cannot be read: {error.strerror or error}."
        ) from None
    if (found := hashlib.sha256(packed).hexdigest()) != sha256:
        raise DataUnavailable(
            f"The predictions {path} are not those of the row: their SHA-256 is {found}, the row "
            f"has {sha256}."
        )
    try:
        shape = _shape(packed)
        _check(shape, wanted, path)
        scores = load(_unpacked(packed, shape))["scores"]
    except DAMAGES as error:
        raise DataUnavailable(f"The predictions {path} are damaged: {error}.") from None
    return list(scores.float())


def _check(shape: Sequence[int], wanted: Wanted, path: Path) -> None:
    known = astuple(wanted)
    if len(shape) != 3 or any(w not in (None, n) for n, w in zip(shape, known, strict=True)):
        says = ", ".join("any" if n is None else str(n) for n in known)
        raise DataUnavailable(
            f"The predictions {path} are (seeds, rows, outputs), of the row and the test part "
            f"({says}); got ({', '.join(map(str, shape))})."
        )


def _shape(packed: bytes) -> list[int]:
    """Of the scores, as the header says; nothing behind it is unpacked."""
    content = lzma.LZMADecompressor(memlimit=MOST_MEMORY).decompress(packed, MOST_HEADER)
    header = content[8 : 8 + int.from_bytes(content[:8], "little")]
    shape: list[int] = json.loads(header)["scores"]["shape"]
    if not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"their header says that the scores are {shape}")
    return shape


def _unpacked(packed: bytes, shape: Sequence[int]) -> bytes:
    """A few bytes of a stranger may hold terabytes: not more than scores of this shape take."""
    most = min(MOST_BYTES, WIDEST * math.prod(shape) + MOST_HEADER)
    reader = lzma.LZMADecompressor(memlimit=MOST_MEMORY)
    content = reader.decompress(packed, max_length=most)
    if not reader.eof:
        raise lzma.LZMAError(f"they end too early, or hold more than {most:,} bytes")
    return content
