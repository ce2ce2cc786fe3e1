"""Cosine similarity with one direction per output, as in NormFace and its kin.

Wang, Xiang, Cheng & Yuille, "NormFace: L2 Hypersphere Embedding for Face Verification", ACM
Multimedia 2017 (https://arxiv.org/abs/1704.06369). The head of the objective ``mmcosine``.
"""

from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Head
from mmbench.hookspecs import hookimpl
from mmbench.space import Range

SQUARED_EPSILON = 1e-6
"""Added to squared lengths: a zero vector has no direction, and its slope must stay moderate."""


class CosineHead(Head):
    """``y_k = s cos(w_k, z)``, each length as ``√(‖·‖² + ε)``; s is not trained, and no bias."""

    name = "cosine"
    offered = "named"

    def __init__(
        self,
        in_dim: int,
        n_outputs: int,
        *,
        scale: Annotated[float, Range(2.0, 64.0, log=True)] = 10.0,
    ) -> None:
        super().__init__(in_dim, n_outputs)
        self.scale = scale
        self.weight = nn.Parameter(torch.randn(n_outputs, in_dim) / in_dim**0.5)

    def forward(self, fused: Tensor) -> Tensor:
        return self.scale * (normalised(fused) @ normalised(self.weight).T)


def normalised(vectors: Tensor) -> Tensor:
    """(n, dim) of length one, but for vectors close to zero, which stay short."""
    return vectors * (vectors.square().sum(-1, keepdim=True) + SQUARED_EPSILON).rsqrt()


@hookimpl
def register_heads() -> list[type[Head]]:
    return [CosineHead]
