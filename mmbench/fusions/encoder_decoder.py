"""Encoder-decoder transformer: learned queries decode what all modalities' encoders say.

Hu & Singh, "UniT: Multimodal Multitask Learning with a Unified Transformer", ICCV 2021
(https://arxiv.org/abs/2102.10772): an encoder per modality, one decoder over their concatenated
outputs, with learned queries for the task.
Differs from the paper: one task; layers start with LayerNorm; the mean over the queries is read; no
positions but the encoders' own.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions._attention import Attention, Tokens, Transformer, feed_forward, joined
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice, Range
from mmbench.types import Features


class EncoderDecoderFusion(Fusion):
    """``z = LayerNorm(mean(Decoder(Q, [E_1(X_1); …; E_M(X_M)])))``, Q learned.

    A decoder layer is self-attention over the queries, attention to the encoded tokens of all
    modalities, feed-forward. Nobody attends to padding or to a missing modality.
    """

    name = "encoder-decoder"
    offered = "named"
    capabilities = Capabilities(handles_missing=True, interaction=True)

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
        queries: Annotated[int, Range(1, 16, log=True)] = 4,
        layers: Annotated[int, Range(1, 3)] = 1,
        heads: Annotated[int, Choice(1, 2, 4)] = 4,
        dropout: Annotated[float, Range(0.0, 0.5)] = 0.0,
    ) -> None:
        super().__init__(dims)
        self.tokens = Tokens(dims, width)
        self.encoders = nn.ModuleDict({m: Transformer(width, heads, layers, dropout) for m in dims})
        self.memory = nn.LayerNorm(width)
        self.queries = nn.Parameter(torch.randn(queries, width))
        self.decoder = nn.ModuleList(_DecoderLayer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.out_dim = width

    def forward(self, features: Features) -> Tensor:
        tokens = self.tokens(features)
        encoded = {m: encode(tokens[m], features[m].mask) for m, encode in self.encoders.items()}
        memory, mask = joined(encoded, features)
        memory = self.memory(memory)  # (batch, Σ time, width)
        batch = memory.shape[0]
        hidden = self.queries.expand(batch, *self.queries.shape)  # (batch, queries, width)
        for layer in self.decoder:
            hidden = layer(hidden, memory, mask)
        return self.norm(hidden.mean(dim=1))  # type: ignore[no-any-return]


class _DecoderLayer(nn.Module):
    """Queries (batch, queries, width) over memory (batch, time, width), to new queries."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm_own, self.norm_cross = nn.LayerNorm(width), nn.LayerNorm(width)
        self.own, self.cross = Attention(width, heads), Attention(width, heads)
        self.feed_forward = feed_forward(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        normal = self.norm_own(queries)
        always = torch.ones_like(normal[..., 0], dtype=torch.bool)  # (batch, queries)
        hidden = queries + self.dropout(self.own(normal, normal, always))
        hidden = hidden + self.dropout(self.cross(self.norm_cross(hidden), memory, mask))
        return hidden + self.dropout(self.feed_forward(hidden))  # type: ignore[no-any-return]


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [EncoderDecoderFusion]
