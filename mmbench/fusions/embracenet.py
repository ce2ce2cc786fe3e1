"""EmbraceNet: every unit is taken from one modality, drawn at random.

Choi & Lee, "EmbraceNet: A Robust Deep Learning Architecture for Multimodal Classification",
Information Fusion 2019 (https://arxiv.org/abs/1904.09078).
Differs from the paper: it draws in training only; in evaluation every unit is its expectation over
the draw, so that a prediction is no matter of chance. All present modalities are equally probable,
the paper's default.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor

from mmbench.contracts import Capabilities, Fused, Fusion
from mmbench.fusions._projection import Projection, presence
from mmbench.hookspecs import hookimpl
from mmbench.space import Range
from mmbench.types import Features


class EmbraceNetFusion(Fusion):
    """``z_j = d_mj`` with the docked modality ``d_m = ReLU(W_m x_m + b_m)``, m drawn for each j.

    A missing modality is never drawn; with none present z is zero.
    """

    name = "embracenet"
    offered = "named"
    capabilities = Capabilities(handles_missing=True)

    def __init__(
        self, dims: Mapping[str, int], *, width: Annotated[int, Range(16, 256, log=True)] = 64
    ) -> None:
        super().__init__(dims)
        self.dock = Projection(dims, width)
        self.out_dim = width

    def forward(self, features: Features) -> Fused:
        present = presence(features, self.dims)  # (batch, modality)
        docked = self.dock(features).relu()  # (batch, modality, width)
        there = present.to(docked.dtype)
        share = there / there.sum(dim=1, keepdim=True).clamp(min=1)
        if not self.training:
            return Fused(torch.einsum("bm,bmw->bw", share, docked), weights=share)
        chosen = self._drawn(present, docked)  # (batch, modality, width)
        return Fused((docked * chosen).sum(dim=1), weights=chosen.to(docked.dtype).mean(dim=-1))

    def _drawn(self, present: Tensor, docked: Tensor) -> Tensor:
        """For each unit, True at one of the present modalities: at the k-th, k uniform."""
        chance = torch.rand_like(docked[:, :1], dtype=torch.float32)  # (batch, 1, width)
        count = present.sum(dim=1)[:, None, None]  # (batch, 1, 1)
        k = (chance * count).long().clamp(max=len(self.dims) - 1)
        rank = present.long().cumsum(dim=1) - 1  # (batch, modality)
        return present.unsqueeze(-1) & (rank.unsqueeze(-1) == k)


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [EmbraceNetFusion]
