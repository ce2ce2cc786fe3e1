"""Scores on test, kept beside a row: any metric can be computed again without the model.

One safetensors file with the tensor ``scores`` (seeds, rows, n_outputs), compressed by xz; its
SHA-256 stands in the row. What is scored is what is stored: ``storable`` rounds before anything is
computed, so that a recomputed metric is equal, not merely close.
"""

import hashlib
import lzma
from collections.abc import Sequence
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


def read_predictions(path: Path, sha256: str) -> list[Tensor]:
    """One (rows, n_outputs) float32 per seed, in the order of the row's seeds.

    Raises ``DataUnavailable`` if the file is missing, is not the one of the row, or is damaged.
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
        scores = load(_unpacked(packed))["scores"]
    except (lzma.LZMAError, SafetensorError, KeyError) as error:
        raise DataUnavailable(f"The predictions {path} are damaged: {error}.") from None
    if scores.ndim != 3:
        raise DataUnavailable(
            f"The predictions {path} are (seeds, rows, outputs); got {tuple(scores.shape)}."
        )
    return list(scores.float())


def _unpacked(packed: bytes) -> bytes:
    """A few bytes of a stranger may claim to hold terabytes: not more than ``MOST_BYTES``."""
    content = (reader := lzma.LZMADecompressor()).decompress(packed, max_length=MOST_BYTES)
    if not reader.eof:
        raise lzma.LZMAError(f"they end too early, or hold more than {MOST_BYTES:,} bytes")
    return content
