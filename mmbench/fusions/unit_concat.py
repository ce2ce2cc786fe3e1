"""Concatenation of modalities that are brought to one length.

Kiela & Bottou, "Learning Image Embeddings using Convolutional Neural Networks for Improved
Multi-Modal Semantics", EMNLP 2014 (https://aclanthology.org/D14-1005).
Differs from the paper: no weight between the modalities, which the head learns, and no centring,
which encoders do; the length is not one but searched, since the head's learning rate depends on it.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions._projection import pooled
from mmbench.hookspecs import hookimpl
from mmbench.space import Range
from mmbench.types import Features

EPSILON = 1e-6  # beside the squared length: a vector of zeros has a gradient


class UnitConcatFusion(Fusion):
    """``z = length · [x_1 / |x_1|; …; x_M / |x_M|]``; a missing modality is a block of zeros.

    None outweighs the others by the size of its numbers or by how many it has.
    """

    name = "unit-concat"
    capabilities = Capabilities(handles_missing=True)

    def __init__(
        self, dims: Mapping[str, int], *, length: Annotated[float, Range(2.0, 16.0, log=True)] = 8.0
    ) -> None:
        super().__init__(dims)
        self.length = length
        self.out_dim = sum(dims.values())

    def forward(self, features: Features) -> Tensor:
        units = [self._unit(pooled(features[m])) for m in self.dims]
        return self.length * torch.cat(units, dim=-1)  # (batch, Σ dim)

    def _unit(self, vectors: Tensor) -> Tensor:
        """(batch, dim) to the same."""
        return vectors * (vectors.square().sum(dim=-1, keepdim=True) + EPSILON).rsqrt()


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [UnitConcatFusion]
