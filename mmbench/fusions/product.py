"""Element-wise product of projected modalities, normalised.

The pointwise merge of Antol et al., "VQA: Visual Question Answering", ICCV 2015
(https://arxiv.org/abs/1505.00468), for N modalities.
Differs from the paper: LayerNorm after the product, in place of normalised inputs and tanh.
"""

from collections.abc import Mapping
from functools import reduce
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions._projection import Projection
from mmbench.hookspecs import hookimpl
from mmbench.space import Range
from mmbench.types import Features


class ProductFusion(Fusion):
    """``z = LayerNorm(∏_m P_m x_m)``; a missing modality is the neutral element, one.

    A product of M factors of scale s has scale s to the power M; LayerNorm brings each sample back
    to unit variance, so that two modalities and four reach the head alike.
    """

    name = "product"
    capabilities = Capabilities(min_modalities=2, handles_missing=True, interaction=True)

    def __init__(
        self, dims: Mapping[str, int], *, width: Annotated[int, Range(16, 256, log=True)] = 64
    ) -> None:
        super().__init__(dims)
        self.project = Projection(dims, width)
        self.norm = nn.LayerNorm(width)
        self.out_dim = width

    def forward(self, features: Features) -> Tensor:
        factors = (
            torch.where(features[m].present.unsqueeze(1), vector, 1.0)  # (batch, width)
            for m, vector in self.project.each(features).items()
        )
        # not ``Tensor.prod``: its gradient looks for zeros and divides
        return self.norm(reduce(torch.mul, factors))  # type: ignore[no-any-return]


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [ProductFusion]
