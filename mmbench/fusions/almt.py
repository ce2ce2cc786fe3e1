"""Adaptive hyper-modality: one modality guides what is gathered from all others.

Zhang, Wang, Yin, Liu, Liu & Yu, "Learning Language-guided Adaptive Hyper-modality Representation
for Multimodal Sentiment Analysis", EMNLP 2023 (https://arxiv.org/abs/2310.05804).
Differs from the paper: any modality may take the place of language; positions are sinusoids, not
learned; in the last transformer the slots of the main modality ask and their mean is read, where
the authors read a learned token, which asks the hyper-modality but sees nothing of the main one.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions._attention import Attention, Layer, Tokens, led, sinusoids
from mmbench.fusions._named import named
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice, Range
from mmbench.types import Features


class ALMTFusion(Fusion):
    """``H ← H + Σ_m Att_k(G_k, S_m)`` at each scale k, m all modalities but the main one.

    A layer reads each modality into ``slots`` learned tokens, S_m. G_1 are those of the main
    modality, ``main`` or the first by alphabet, and each G_k is one self-attention layer further.
    H, the hyper-modality, starts as learned slots. Then G asks H in ``layers`` layers, and z is the
    normalised mean of G. A missing modality adds nothing to H; without the main one G comes from
    learned tokens alone.
    """

    name = "almt"
    offered = "named"
    capabilities = Capabilities(min_modalities=2, handles_missing=True, interaction=True)

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: Annotated[int, Range(16, 128, log=True)] = 64,
        slots: Annotated[int, Range(1, 16, log=True)] = 4,
        scales: Annotated[int, Range(1, 4)] = 3,
        layers: Annotated[int, Range(1, 4)] = 2,
        heads: Annotated[int, Choice(1, 2, 4)] = 4,
        dropout: Annotated[float, Range(0.0, 0.5)] = 0.0,
        main: str = "",
    ) -> None:
        super().__init__(dims)
        self.main = named(main, sorted(dims), "almt.main")
        others = [m for m in dims if m != self.main]
        self.tokens = Tokens(dims, width)
        self.slots = nn.ParameterDict({m: 0.02 * torch.randn(slots, width) for m in dims})
        self.read = nn.ModuleDict({m: Layer(width, heads, dropout) for m in dims})
        self.hyper = nn.Parameter(0.02 * torch.randn(slots, width))
        self.guide = nn.ModuleList(Layer(width, heads, dropout) for _ in range(scales - 1))
        self.gather = nn.ModuleList(_Gather(others, width, heads) for _ in range(scales))
        self.cross = nn.ModuleList(Layer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.out_dim = width

    def forward(self, features: Features) -> Tensor:
        read = self._read(features)  # each (batch, slots, width)
        guide = read.pop(self.main)
        real = torch.ones_like(guide[..., 0], dtype=torch.bool)  # (batch, slots)
        present = {m: real & features[m].present.unsqueeze(1) for m in read}
        hyper = self.hyper + self.gather[0](guide, read, present)
        for layer, gather in zip(self.guide, self.gather[1:], strict=True):
            guide = layer(guide, guide, real)
            hyper = hyper + gather(guide, read, present)
        for layer in self.cross:
            guide = layer(guide, hyper, real)
        return self.norm(guide.mean(dim=1))  # type: ignore[no-any-return]

    def _read(self, features: Features) -> dict[str, Tensor]:
        read = {}
        for m, tokens in self.tokens(features).items():
            slots = self.slots[m]
            joint, mask = led(slots, tokens + sinusoids(tokens), features[m].mask)
            read[m] = self.read[m](joint[:, : len(slots)], joint, mask)
        return read


class _Gather(nn.Module):
    """What a guide (batch, slots, width) finds in each of the other modalities, summed."""

    def __init__(self, modalities: list[str], width: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.norms = nn.ModuleDict({m: nn.LayerNorm(width) for m in modalities})
        self.attention = nn.ModuleDict({m: Attention(width, heads) for m in modalities})

    def forward(
        self, guide: Tensor, slots: Mapping[str, Tensor], present: Mapping[str, Tensor]
    ) -> Tensor:
        asking, total = self.norm(guide), torch.zeros_like(guide)
        for m, attention in self.attention.items():
            found = attention(asking, self.norms[m](slots[m]), present[m])
            total = total + torch.where(present[m].unsqueeze(-1), found, 0.0)
        return total


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [ALMTFusion]
