"""Weights with many zeros on disk: a bit for each number that says whether it is there, and those.

A pruned tensor ``x`` is kept as ``x/bits``, ``x/there`` and ``x/shape``.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

BITS, THERE, SHAPE = "/bits", "/there", "/shape"


def packed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``state`` with every tensor packed that takes less space so."""
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        kept = {
            name + BITS: torch.from_numpy(np.packbits((tensor.reshape(-1) != 0).numpy())),
            name + THERE: tensor[tensor != 0],
            name + SHAPE: torch.tensor(tensor.shape),
        }
        smaller = sum(t.nbytes for t in kept.values()) < tensor.nbytes
        found |= kept if smaller else {name: tensor}
    return found


def unpacked(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What ``packed`` was given."""
    names = [name.removesuffix(SHAPE) for name in stored if name.endswith(SHAPE)]
    pieces = {name + piece for name in names for piece in (BITS, THERE, SHAPE)}
    found = {name: tensor for name, tensor in stored.items() if name not in pieces}
    return found | {name: _tensor(stored, name) for name in names}


def _tensor(stored: Mapping[str, Tensor], name: str) -> Tensor:
    there, shape = stored[name + THERE], stored[name + SHAPE].tolist()
    size = int(np.prod(shape))
    bits = np.unpackbits(stored[name + BITS].numpy(), count=size).astype(bool)
    tensor = torch.zeros(size, dtype=there.dtype)
    tensor[torch.from_numpy(bits)] = there
    return tensor.reshape(shape)
