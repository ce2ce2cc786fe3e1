"""Activation fusion: a squashed product of the modalities beside the main one.

Chen, Li, Chen, Zhou, Lv & Chen, "MDFNet: Application of Multimodal Fusion Method Based on Skin
Image and Clinical Data to Skin Cancer Classification", Journal of Cancer Research and Clinical
Oncology 2023 (https://doi.org/10.1007/s00432-022-04180-1), as the library fusilli does it on
vectors: an element-wise product, tanh, sigmoid, then the first modality's features again.
Differs from the paper: the product is normalised (LayerNorm) before it is squashed, so that three
modalities use as much of the range as two. That range, σ(−1) = 0.27 to σ(1) = 0.73, is kept.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions._named import named
from mmbench.fusions._projection import Projection, presence
from mmbench.hookspecs import hookimpl
from mmbench.space import Range
from mmbench.types import Features


class ActivationFusion(Fusion):
    """``z = [σ(tanh(LayerNorm(∏_m P_m x_m))); P_main x_main]``.

    The main modality is ``main``, or the first of ``dims``. A missing modality is one in the
    product; the missing main one is zeros in its own block.
    """

    name = "activation"
    offered = "named"
    capabilities = Capabilities(min_modalities=2, handles_missing=True, interaction=True)

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
        main: str = "",
    ) -> None:
        super().__init__(dims)
        self.main = list(dims).index(named(main, dims, f"{self.name}.main"))
        self.project = Projection(dims, width)
        self.norm = nn.LayerNorm(width)
        self.out_dim = 2 * width

    def forward(self, features: Features) -> Tensor:
        present = presence(features, self.dims).unsqueeze(-1)  # (batch, modality, 1)
        projected = self.project(features)  # (batch, modality, width)
        product = torch.where(present, projected, 1.0).prod(dim=1)  # (batch, width)
        squashed = self.norm(product).tanh().sigmoid()
        main = torch.where(present[:, self.main], projected[:, self.main], 0.0)
        return torch.cat([squashed, main], dim=-1)  # (batch, 2 × width)


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [ActivationFusion]
