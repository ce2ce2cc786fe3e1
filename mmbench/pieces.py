"""A batch in pieces: the activations of one piece are in memory at a time, the result is the same.

What an encoder, a fusion or a head says of a row never depends on the other rows of a batch. So a
batch may go through them piece by piece; each piece's activations are dropped and made again when
its gradient is wanted (Chen, Xu, Zhang & Guestrin, "Training Deep Nets with Sublinear Memory Cost",
2016), and the gradients of the pieces add up in the weights. The loss is taken of the whole batch:
that holds for losses that compare rows with each other, too, which plain gradient accumulation over
micro-batches would change. The price is a second forward pass.

What differs: dropout draws other masks (a piece draws its own), sums round differently, and batch
normalisation, which some pretrained image models have, sees the statistics of a piece.
"""

import gc
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mmbench.contracts import Outputs
from mmbench.types import Encoded, Features

SHRINK = 4
"""By how much pieces get smaller when memory runs out."""
OUT_OF_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")
"""What torch says, in a mere ``RuntimeError``: on the CPU, of the driver, of cuBLAS and cuDNN."""
log = logging.getLogger(__name__)

Result = TypeVar("Result")


def encode_in_pieces(
    encoder: Callable[[Tensor], Encoded], values: Tensor, size: int | None
) -> Encoded:
    """``encoder(values)``, at most ``size`` values at a time."""
    if size is None or len(values) <= size:
        return encoder(values)
    return joined([_one(encoder, piece) for piece in values.split(size)])


def joined(parts: list[Encoded]) -> Encoded:
    """The features of several pieces as one."""
    return Encoded(
        torch.cat([p.tokens for p in parts]),
        torch.cat([p.mask for p in parts]),
        torch.cat([p.pooled for p in parts]),
    )


def respond_in_pieces(
    respond: Callable[[Features, Tensor | None], Outputs],
    features: Features,
    target: Tensor | None,
    size: int | None,
) -> Outputs:
    """``respond(features, target)``, at most ``size`` rows at a time."""
    if size is None:  # before a length is asked for: an exported graph is for any number of rows
        return respond(features, target)
    n_rows = len(next(iter(features.values())))
    if n_rows <= size:
        return respond(features, target)
    parts = [
        _one(
            respond,
            {m: _rows(e, start, start + size) for m, e in features.items()},
            None if target is None else target[start : start + size],
        )
        for start in range(0, n_rows, size)
    ]
    return replace(
        parts[0],
        scores=torch.cat([p.scores for p in parts]),
        fused=torch.cat([p.fused for p in parts]),
        unimodal={m: torch.cat([p.unimodal[m] for p in parts]) for m in parts[0].unimodal},
        features=features,
        penalty=_cat([p.penalty for p in parts]),
        weights=_cat([p.weights for p in parts]),
    )


def _rows(encoded: Encoded, start: int, end: int) -> Encoded:
    """Views, not copies."""
    return encoded.each(lambda tensor: tensor[start:end])


def _one(function: Callable[..., Result], *piece: object) -> Result:
    if not torch.is_grad_enabled():
        return function(*piece)
    result: Result = checkpoint(function, *piece, use_reentrant=False)
    return result


def _cat(parts: list[Tensor | None]) -> Tensor | None:
    given = [p for p in parts if p is not None]
    return torch.cat(given) if given else None


def within_memory(train: Callable[[int | None], Result], batch_size: int) -> Result:
    """``train`` with whole batches; if memory runs out, from the start with ever smaller pieces.

    ``train`` is told how many rows may be worked on at once and begins anew from the same seed.
    """
    size: int | None = None
    while True:
        try:
            return train(size)
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error) or size == 1:
                raise
        size = max(1, (size or batch_size) // SHRINK)
        log.warning("out of memory: training goes on with %d rows at a time, same result", size)
        free_memory()


def ran_out(error: Exception) -> bool:
    """Whether it says that memory, of the host or of a GPU, is used up."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(error) for words in OUT_OF_MEMORY)


def free_memory() -> None:
    """Let go of what the attempt that failed has left."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
