"""Attention bottlenecks (MBT): modalities exchange only through a few shared tokens.

Nagrani, Yang, Arnab, Jansen, Schmid & Sun, "Attention Bottlenecks for Multimodal Fusion", NeurIPS
2021 (https://arxiv.org/abs/2107.00135).
Differs from the paper: every layer fuses (the paper fuses from the middle on; the encoders are the
layers before); the class tokens are averaged, where the paper averages their logits, which under a
linear head is the same; no positions but the encoders' own.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions._attention import Layer, Tokens, led
from mmbench.fusions._projection import presence
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice, Range
from mmbench.types import Features


class BottleneckFusion(Fusion):
    """``[X_m; B_m] = Layer_m([X_m; B])`` for each m, then ``B = mean_m B_m``; layer after layer.

    X_m starts with a class token of its own; z is the mean of the normalised class tokens. Means
    are over the modalities that are present. What one modality says reaches another's class token
    a layer later, hence two layers at least.
    """

    name = "bottleneck"
    offered = "named"
    capabilities = Capabilities(min_modalities=2, handles_missing=True, interaction=True)

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
        bottlenecks: Annotated[int, Range(1, 16, log=True)] = 4,
        layers: Annotated[int, Range(2, 4)] = 2,
        heads: Annotated[int, Choice(1, 2, 4)] = 4,
        dropout: Annotated[float, Range(0.0, 0.5)] = 0.0,
    ) -> None:
        super().__init__(dims)
        self.tokens = Tokens(dims, width)
        self.first = nn.ParameterDict({m: torch.randn(1, width) for m in dims})
        self.bottlenecks = nn.Parameter(torch.randn(bottlenecks, width))
        self.layers = nn.ModuleList(
            nn.ModuleDict({m: Layer(width, heads, dropout) for m in dims}) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.out_dim = width

    def forward(self, features: Features) -> Tensor:
        shares = presence(features, self.dims).to(self.bottlenecks.dtype)  # (batch, modality)
        shares = shares / shares.sum(dim=1, keepdim=True).clamp(min=1)
        streams = self._streams(features)
        shared = self.bottlenecks.expand(shares.shape[0], *self.bottlenecks.shape)
        *before, last = self.layers
        for layer in before:
            streams, shared = self._exchanged(layer, streams, shared, shares)
        firsts = []
        for m, (tokens, mask) in streams.items():
            everything = self._with(shared, tokens, mask)
            firsts.append(last[m](tokens[:, :1], *everything).squeeze(1))  # type: ignore[index]
        return torch.einsum("bm,bmw->bw", shares, self.norm(torch.stack(firsts, dim=1)))

    def _streams(self, features: Features) -> dict[str, tuple[Tensor, Tensor]]:
        """Of each modality its class token and tokens (batch, 1 + time, width), and their mask."""
        tokens = self.tokens(features)
        return {m: led(self.first[m], tokens[m], features[m].mask) for m in self.dims}

    def _exchanged(
        self,
        layer: nn.Module,
        streams: Mapping[str, tuple[Tensor, Tensor]],
        shared: Tensor,
        shares: Tensor,
    ) -> tuple[dict[str, tuple[Tensor, Tensor]], Tensor]:
        """One layer: every stream with the shared tokens, which are then averaged."""
        count, after, views = shared.shape[1], {}, []
        for m, (tokens, mask) in streams.items():
            everything, known = self._with(shared, tokens, mask)
            hidden = layer[m](everything, everything, known)  # type: ignore[index]
            views.append(hidden[:, :count])  # (batch, bottlenecks, width)
            after[m] = hidden[:, count:], mask
        return after, torch.einsum("bm,bmkw->bkw", shares, torch.stack(views, dim=1))

    def _with(self, shared: Tensor, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        always = torch.ones_like(shared[..., 0], dtype=torch.bool)  # (batch, bottlenecks)
        return torch.cat([shared, tokens], dim=1), torch.cat([always, mask], dim=1)


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [BottleneckFusion]
