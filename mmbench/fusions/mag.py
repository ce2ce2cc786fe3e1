"""Multimodal adaptation gate: the other modalities shift each token of one.

Rahman et al., "Integrating Multimodal Information in Large Pretrained Transformers", ACL 2020
(https://arxiv.org/abs/1908.05787).
Differs from the paper: it stands after the encoders, not inside BERT; other modalities are repeated
or averaged along the shifted one's tokens (the paper's are aligned by words); the mean over tokens
is read; the shifted tokens are first projected and normalised; the shift has no bias of its own.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions._attention import real
from mmbench.fusions._named import named
from mmbench.fusions._sequence import compacted
from mmbench.hookspecs import hookimpl
from mmbench.space import Range
from mmbench.types import Encoded, Features, masked_mean


class MAGFusion(Fusion):
    """``h = LayerNorm(z + α e)``, ``e = Σ_m ReLU(G_m [z; a_m]) ⊙ W_m a_m``, per token z.

    ``α = min(β ‖z‖ / ‖e‖, 1)`` keeps the shift small beside the token. z are the tokens of
    ``shifted``, or of the first modality by alphabet; a_m is what of m stands beside it: for the
    t-th of T the mean of its tokens from ⌊t · n_m / T⌋ to ⌈(t + 1) · n_m / T⌉ of n_m. The output is
    LayerNorm of the mean of h. A missing other modality shifts nothing; without the shifted one
    there is nothing to shift: zeros.
    """

    name = "mag"
    offered = "named"
    capabilities = Capabilities(min_modalities=2, handles_missing=True, interaction=True)

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
        beta: Annotated[float, Range(0.1, 2.0, log=True)] = 1.0,
        dropout: Annotated[float, Range(0.0, 0.5)] = 0.0,
        shifted: str = "",
    ) -> None:
        super().__init__(dims)
        self.shifted = named(shifted, sorted(dims), "mag.shifted")
        others = [m for m in sorted(dims) if m != self.shifted]
        self.project = nn.Sequential(nn.Linear(dims[self.shifted], width), nn.LayerNorm(width))
        self.gate = nn.ModuleDict({m: nn.Linear(width + dims[m], width) for m in others})
        self.shift = nn.ModuleDict({m: nn.Linear(dims[m], width, bias=False) for m in others})
        self.norm, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.beta, self.out_dim = beta, width

    def forward(self, features: Features) -> Tensor:
        main = features[self.shifted]
        steps, longest = main.mask.sum(dim=1), main.mask.shape[1]
        tokens = self.project(compacted(real(main), main.mask))  # (batch, longest, width)
        mask = torch.arange(longest, device=steps.device) < steps.unsqueeze(1)
        shift = torch.zeros_like(tokens)
        for m, gate in self.gate.items():
            there = beside(features[m], steps, longest)  # (batch, longest, dim of m)
            opened = gate(torch.cat([tokens, there], dim=-1)).relu()
            shift = shift + opened * self.shift[m](there)
        hidden = self.dropout(self.norm(tokens + self._share(tokens, shift) * shift))
        vector = self.norm_out(masked_mean(hidden, mask))
        return torch.where(main.present.unsqueeze(1), vector, 0.0)

    def _share(self, tokens: Tensor, shift: Tensor) -> Tensor:
        """α (batch, longest, 1); the tiny addend keeps the slope of a norm finite at zero."""
        sizes = [(x.square().sum(dim=-1, keepdim=True) + 1e-12).sqrt() for x in (tokens, shift)]
        return (self.beta * sizes[0] / sizes[1]).clamp(max=1.0)


def beside(encoded: Encoded, steps: Tensor, longest: int) -> Tensor:
    """The real tokens of a modality in ``steps`` (batch,) equal stretches, the mean of each.

    Every token takes part: few are repeated, many averaged. (batch, longest, dim), zeros after the
    last step and for a missing modality.
    """
    tokens = compacted(real(encoded), encoded.mask)
    n, total = encoded.mask.sum(dim=1, keepdim=True), steps.clamp(min=1).unsqueeze(1)
    step = torch.arange(longest, device=tokens.device).unsqueeze(0)
    within = (step < steps.unsqueeze(1)) & (n > 0)  # (batch, longest)
    first = torch.where(within, step * n // total, 0)
    end = torch.where(within, ((step + 1) * n + total - 1) // total, 1)
    sums = pad(tokens.cumsum(dim=1), (0, 0, 1, 0))  # of the first 0, 1, … tokens
    before, after = (
        sums.gather(1, at.unsqueeze(-1).expand(-1, -1, tokens.shape[-1])) for at in (first, end)
    )
    means = (after - before) / (end - first).unsqueeze(-1)
    return torch.where(within.unsqueeze(-1), means, 0.0)


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [MAGFusion]
