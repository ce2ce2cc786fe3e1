"""Perceiver: a few latent vectors read the tokens of all modalities.

Jaegle, Gimeno, Brock, Zisserman, Vinyals & Carreira, "Perceiver: General Perception with Iterative
Attention", ICML 2021 (https://arxiv.org/abs/2103.03206).
Differs from the paper: all repetitions share their weights (the paper's first reading has its own);
the modality is told by each projection's own bias, not by appended encodings; no Fourier positions,
only the encoders' own; one LayerNorm for latents and tokens in each reading.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions._attention import Layer, Tokens, Transformer, joined
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice, Range
from mmbench.types import Features


class PerceiverFusion(Fusion):
    """``L ← Transformer(Layer(L, [X_1; …; X_M]))``, ``repeats`` times; z is the mean of L, normed.

    The cost grows with tokens × latents. Latents don't read padding or a missing modality.
    """

    name = "perceiver"
    offered = "named"
    capabilities = Capabilities(handles_missing=True, interaction=True)

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
        latents: Annotated[int, Range(2, 32, log=True)] = 8,
        repeats: Annotated[int, Range(1, 3)] = 1,
        layers: Annotated[int, Range(1, 4)] = 1,
        heads: Annotated[int, Choice(1, 2, 4)] = 4,
        dropout: Annotated[float, Range(0.0, 0.5)] = 0.0,
    ) -> None:
        super().__init__(dims)
        self.tokens = Tokens(dims, width)
        self.latents = nn.Parameter(torch.randn(latents, width))
        self.read = Layer(width, heads, dropout)
        self.think = Transformer(width, heads, layers, dropout)
        self.norm = nn.LayerNorm(width)
        self.repeats, self.out_dim = repeats, width

    def forward(self, features: Features) -> Tensor:
        tokens, mask = joined(self.tokens(features), features)
        batch = tokens.shape[0]
        latents = self.latents.expand(batch, *self.latents.shape)  # (batch, latents, width)
        always = torch.ones_like(latents[..., 0], dtype=torch.bool)
        for _ in range(self.repeats):
            latents = self.think(self.read(latents, tokens, mask), always)
        return self.norm(latents.mean(dim=1))  # type: ignore[no-any-return]


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [PerceiverFusion]
