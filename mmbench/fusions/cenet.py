"""Cross-modal enhancement: each token of one modality is shifted by what it finds in the others.

Wang, Liu, Wang, Tian, He & Gao, "Cross-Modal Enhancement Network for Multimodal Sentiment
Analysis", IEEE Transactions on Multimedia 2022 (https://doi.org/10.1109/TMM.2022.3183830).
Differs from the paper: it stands after the encoders, a transformer of its own in place of the rest
of the language model; any modality may take the place of text; the others' features go through a
perceptron, where the paper embeds the clusters they fall into; scores are scaled by 1/√d.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions._attention import Attention, Transformer, real, sinusoids
from mmbench.fusions._named import named
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice, Range
from mmbench.types import Features, masked_mean


class CENETFusion(Fusion):
    """``H = Transformer(Z + Σ_m W_m Att_m(Z, MLP_m(X_m)))``, Z the tokens of the main modality.

    The main modality is ``main``, or the first by alphabet; m are all others. z is the normalised
    mean of H over real tokens. A missing other modality shifts nothing; without the main one there
    is nothing to shift: zeros.
    """

    name = "cenet"
    offered = "named"
    capabilities = Capabilities(
        min_modalities=2, needs_sequences=True, handles_missing=True, interaction=True
    )

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: Annotated[int, Range(16, 128, log=True)] = 64,
        layers: Annotated[int, Range(1, 4)] = 1,
        heads: Annotated[int, Choice(1, 2, 4)] = 4,
        dropout: Annotated[float, Range(0.0, 0.5)] = 0.0,
        main: str = "",
    ) -> None:
        super().__init__(dims)
        self.main = named(main, sorted(dims), "cenet.main")
        others = [m for m in dims if m != self.main]
        self.project = nn.Sequential(nn.Linear(dims[self.main], width), nn.LayerNorm(width))
        self.embed = nn.ModuleDict({m: _perceptron(dims[m], width) for m in others})
        self.enhance = nn.ModuleDict({m: Attention(width, heads=1) for m in others})
        self.transformer = Transformer(width, heads, layers, dropout)
        self.norm = nn.LayerNorm(width)
        self.out_dim = width

    def forward(self, features: Features) -> Tensor:
        main = features[self.main]
        tokens = self.project(real(main))  # (batch, time, width)
        tokens = tokens + sinusoids(tokens)
        shifted = tokens
        for m, enhance in self.enhance.items():
            other = features[m]
            shift = enhance(tokens, self.embed[m](real(other)), other.mask)
            shifted = shifted + torch.where(other.present[:, None, None], shift, 0.0)
        vector = self.norm(masked_mean(self.transformer(shifted, main.mask), main.mask))
        return torch.where(main.present.unsqueeze(1), vector, 0.0)


def _perceptron(dim: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, width), nn.ReLU(), nn.Linear(width, width))


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [CENETFusion]
