"""MLP-mixer over a fixed number of tokens from each modality.

Tolstikhin et al., "MLP-Mixer: An all-MLP Architecture for Vision", NeurIPS 2021
(https://arxiv.org/abs/2105.01601), as a fusion: Bezirganyan, Sellami, Berti-Équille & Fournier,
"M2-Mixer: A Multimodal Mixer with Multi-head Loss for Classification from Multimodal Data", IEEE
Big Data 2023.
Differs from the papers: a mixer's weights fix the number of tokens, so learned queries first read a
fixed number from each modality, whatever its length; no mixer per modality before the joint one.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions._attention import Attention, Tokens, feed_forward
from mmbench.hookspecs import hookimpl
from mmbench.space import Range
from mmbench.types import Features


class MixerFusion(Fusion):
    """``S ← S + MLP(norm(S)ᵀ)ᵀ`` over slots, ``S ← S + MLP(norm S)`` over units, layer by layer.

    S, (M × slots, width), is what ``slots`` learned queries per modality find in its tokens by
    attention; z is the normalised mean over slots. The slots of a missing modality start as zeros.
    """

    name = "mixer"
    offered = "named"
    capabilities = Capabilities(handles_missing=True, interaction=True)

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
        slots: Annotated[int, Range(1, 16, log=True)] = 4,
        layers: Annotated[int, Range(1, 4)] = 2,
        dropout: Annotated[float, Range(0.0, 0.5)] = 0.0,
    ) -> None:
        super().__init__(dims)
        self.tokens = Tokens(dims, width)
        self.queries = nn.ParameterDict({m: torch.randn(slots, width) for m in dims})
        self.read = nn.ModuleDict({m: Attention(width, heads=1) for m in dims})
        count = slots * len(dims)
        self.layers = nn.ModuleList(_Mix(count, width, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.out_dim = width

    def forward(self, features: Features) -> Tensor:
        tokens = self.tokens(features)
        slots = torch.cat([self._slots(m, tokens[m], features) for m in self.dims], dim=1)
        for layer in self.layers:
            slots = layer(slots)  # (batch, M × slots, width)
        return self.norm(slots.mean(dim=1))  # type: ignore[no-any-return]

    def _slots(self, modality: str, tokens: Tensor, features: Features) -> Tensor:
        queries = self.queries[modality]
        asked = queries.expand(tokens.shape[0], *queries.shape)  # (batch, slots, width)
        found = self.read[modality](asked, tokens, features[modality].mask)
        return torch.where(features[modality].present[:, None, None], found, 0.0)


class _Mix(nn.Module):
    """One mixer layer: (batch, slots, width) to the same."""

    def __init__(self, slots: int, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.over_slots = nn.Sequential(
            nn.Linear(slots, 2 * slots), nn.GELU(), nn.Linear(2 * slots, slots)
        )
        self.over_units = feed_forward(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, slots: Tensor) -> Tensor:
        mixed = self.over_slots(self.norm(slots).transpose(1, 2)).transpose(1, 2)
        slots = slots + self.dropout(mixed)
        return slots + self.dropout(self.over_units(slots))  # type: ignore[no-any-return]


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [MixerFusion]
