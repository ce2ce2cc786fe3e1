"""Multimodal transformer (MulT): crossmodal transformers between all ordered pairs.

Tsai, Bai, Liang, Kolter, Morency & Salakhutdinov, "Multimodal Transformer for Unaligned Multimodal
Language Sequences", ACL 2019 (https://arxiv.org/abs/1906.00295).
Differs from the paper: a linear map and LayerNorm in place of the convolution at the start; for
each target the mean over its tokens, where the paper reads the last one; no residual head.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions._attention import Layer, Tokens, Transformer, sinusoids
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice, Range
from mmbench.types import Features, masked_mean


class MulTFusion(Fusion):
    """For each target, a crossmodal stack from every other modality; then self-attention; concat.

    In the stack from β to α the tokens of α are queries in every layer over the same tokens of β,
    of any length. What all sources gave to α stands side by side, (M − 1) × width, and goes through
    a transformer of its own. A missing source leaves α's own tokens; a missing target is zeros.
    """

    name = "mult"
    offered = "named"
    capabilities = Capabilities(
        min_modalities=2, needs_sequences=True, handles_missing=True, interaction=True
    )

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: Annotated[int, Range(16, 64, log=True)] = 32,
        layers: Annotated[int, Range(1, 4)] = 1,
        heads: Annotated[int, Choice(1, 2, 4)] = 4,
        dropout: Annotated[float, Range(0.0, 0.5)] = 0.0,
    ) -> None:
        super().__init__(dims)
        together = (len(dims) - 1) * width
        self.tokens = Tokens(dims, width)
        self.cross = nn.ModuleDict(
            {
                target: nn.ModuleDict(
                    {
                        source: nn.ModuleList(Layer(width, heads, dropout) for _ in range(layers))
                        for source in dims
                        if source != target
                    }
                )
                for target in dims
            }
        )
        self.alone = nn.ModuleDict({m: Transformer(together, heads, layers, dropout) for m in dims})
        self.norms = nn.ModuleDict({m: nn.LayerNorm(together) for m in dims})
        self.out_dim = len(dims) * together

    def forward(self, features: Features) -> Tensor:
        placed = {m: tokens + sinusoids(tokens) for m, tokens in self.tokens(features).items()}
        vectors = [self._reinforced(m, placed, features) for m in self.dims]
        return torch.cat(vectors, dim=-1)  # (batch, modality × (modality − 1) × width)

    def _reinforced(self, target: str, tokens: Mapping[str, Tensor], features: Features) -> Tensor:
        streams = []
        for source, layers in self.cross[target].items():  # type: ignore[operator]
            hidden = tokens[target]  # (batch, time of target, width)
            heard = self._heard(target, source, tokens, features)
            for layer in layers:
                hidden = layer(hidden, heard, features[source].mask)
            streams.append(hidden)
        encoded = features[target]
        hidden = self.alone[target](torch.cat(streams, dim=-1), encoded.mask)
        vector = self.norms[target](masked_mean(hidden, encoded.mask))
        return torch.where(encoded.present.unsqueeze(1), vector, 0.0)

    def _heard(
        self,
        target: str,  # noqa: ARG002 - a variant may tell each target something else
        source: str,
        tokens: Mapping[str, Tensor],
        features: Features,  # noqa: ARG002
    ) -> Tensor:
        """What a target hears of a source: (batch, time of source, width)."""
        return tokens[source]


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [MulTFusion]
