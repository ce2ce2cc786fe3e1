"""Matching vectors for two modalities (Conneau et al., InferSent, EMNLP 2017, arXiv:1705.02364).

Differs from the paper: the two inputs are of different kinds here, so each is projected to one
width first, and the result is normalised.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.api import Capabilities, Features, Fusion, Range, hookimpl

mmbench_api = ">=1"


class MatchingFusion(Fusion):
    """``z = LayerNorm([u; v; |u − v|; u ⊙ v])`` with ``u = W_1 x_1`` and ``v = W_2 x_2``."""

    name = "matching"
    capabilities = Capabilities(min_modalities=2, max_modalities=2, interaction=True)

    def __init__(
        self, dims: Mapping[str, int], *, width: Annotated[int, Range(16, 256, log=True)] = 64
    ) -> None:
        super().__init__(dims)
        self.project = nn.ModuleDict({m: nn.Linear(d, width) for m, d in dims.items()})
        self.norm = nn.LayerNorm(4 * width)
        self.out_dim = 4 * width

    def forward(self, features: Features) -> Tensor:
        u, v = (self.project[m](features[m].pooled) for m in self.dims)  # (batch, width) each
        return self.norm(torch.cat([u, v, (u - v).abs(), u * v], dim=-1))  # (batch, 4 · width)


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [MatchingFusion]
