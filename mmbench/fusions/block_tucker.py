"""BLOCK with a whole Tucker core in each block.

Ben-Younes, Cadene, Thome & Cord, "BLOCK: Bilinear Superdiagonal Fusion for Visual Question
Answering and Visual Relationship Detection", AAAI 2019 (https://arxiv.org/abs/1902.00038): the
block-term decomposition before its slices are constrained in rank, which the authors' code calls
BlockTucker, with their power normalisation of each block.
Differs from the paper: the core of more than two modalities is a tensor train, as in ``tucker``; a
normalised block has a root mean square of one, not a norm of one.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions._bilinear import Factors, power_normalised, unit_linear
from mmbench.hookspecs import hookimpl
from mmbench.space import Range
from mmbench.types import Features


class BlockTuckerFusion(Fusion):
    """``z = P [h^1; …; h^C] + b``, ``h^c = norm(𝕋^c ×₁ x̃_1^c ×₂ x̃_2^c)``: a full core per block.

    ``x̃_m = W_m x_m + a_m`` is cut into C chunks of ``chunk`` numbers. Further modalities fold in,
    in the task's order, with a core each: ``h^c ← 𝕋_m^c ×₁ h^c ×₂ x̃_m^c``. The cores start so that
    h has about unit variance whatever their number; ``norm`` is signed square root, then unit root
    mean square. For a missing modality x̃ is ones.
    """

    name = "block-tucker"
    offered = "named"
    capabilities = Capabilities(min_modalities=2, handles_missing=True, interaction=True)

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        chunks: Annotated[int, Range(2, 16, log=True)] = 4,
        chunk: Annotated[int, Range(4, 32, log=True)] = 16,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
    ) -> None:
        super().__init__(dims)
        self.factors = Factors(dims, chunks * chunk)
        self.cores = nn.ParameterList(
            torch.randn(chunks, chunk * chunk, chunk) / chunk for _ in range(len(dims) - 1)
        )  # (chunk's number, in × in, out): the first two modes in one
        self.out = unit_linear(chunks * chunk, width)
        self.chunks, self.out_dim = chunks, width

    def forward(self, features: Features) -> Tensor:
        hidden, *others = [self._cut(factor) for factor in self.factors(features)]
        for core, factor in zip(self.cores, others, strict=True):
            products = (hidden.unsqueeze(3) * factor.unsqueeze(2)).flatten(2)
            hidden = products @ core  # (chunks, batch, chunk)
        blocks = power_normalised(hidden).transpose(0, 1)  # (batch, chunks, chunk)
        return self.out(blocks.flatten(1))  # type: ignore[no-any-return]

    def _cut(self, factor: Tensor) -> Tensor:
        """(batch, chunks × chunk) to (chunks, batch, chunk)."""
        chunks: Tensor = factor.unflatten(-1, (self.chunks, -1))
        return chunks.transpose(0, 1)


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [BlockTuckerFusion]
