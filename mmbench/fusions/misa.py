"""MISA: every modality in a shared subspace and in a private one.

Hazarika, Zimmermann & Poria, "MISA: Modality-Invariant and -Specific Representations for Multimodal
Sentiment Analysis", ACM Multimedia 2020 (https://arxiv.org/abs/2005.03545).
Differs from the paper: its similarity (central moment discrepancy) and difference (orthogonality)
losses compare whole batches; a fusion's penalty is per sample, so here they are the squared
distance and the squared cosine of one sample's own vectors, which are not centred first (the
authors' code subtracts the batch's mean) and, being sigmoids, are at right angles only where they
are off. The transformer's output is normalised and goes to the head, without the paper's layers in
between.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fused, Fusion
from mmbench.fusions._attention import Layer
from mmbench.fusions._projection import Projection, presence
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice, Range
from mmbench.types import Features


class MISAFusion(Fusion):
    """``u_m = norm(ReLU(W_m x_m))``, shared ``c_m = σ(C u_m)``, private ``p_m = σ(P_m u_m)``.

    z is the concatenation of what one transformer layer over all c_m and p_m makes of them. The
    penalty of a sample is ``similarity · mean ‖c_i − c_j‖² / width``, ``difference · mean cos²`` of
    (c_m, p_m) and of (p_i, p_j), and ``reconstruction · mean ‖u_m − D(c_m + p_m)‖² / width``: means
    over the modalities, or pairs, that are present. A missing modality is zeros in z.
    """

    name = "misa"
    offered = "named"
    capabilities = Capabilities(min_modalities=2, handles_missing=True, interaction=True)

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: Annotated[int, Range(16, 128, log=True)] = 64,
        heads: Annotated[int, Choice(1, 2, 4)] = 2,
        similarity: Annotated[float, Range(0.0, 1.0)] = 1.0,
        difference: Annotated[float, Range(0.0, 1.0)] = 0.3,
        reconstruction: Annotated[float, Range(0.0, 1.0)] = 1.0,
        dropout: Annotated[float, Range(0.0, 0.5)] = 0.0,
    ) -> None:
        super().__init__(dims)
        self.project = Projection(dims, width)
        self.norm_in = nn.ModuleDict({m: nn.LayerNorm(width) for m in dims})
        self.shared = nn.Linear(width, width)
        self.private = nn.ModuleDict({m: nn.Linear(width, width) for m in dims})
        self.decode = nn.Linear(width, width)
        self.layer = Layer(width, heads, dropout)
        self.norm = nn.LayerNorm(width)
        self.similarity, self.difference = similarity, difference
        self.reconstruction = reconstruction
        self.out_dim = 2 * len(dims) * width

    def forward(self, features: Features) -> Fused:
        present = presence(features, self.dims)  # (batch, modality)
        hidden = self.project(features).relu().unbind(dim=1)
        known = [norm(h) for norm, h in zip(self.norm_in.values(), hidden, strict=True)]
        shared = self.shared(torch.stack(known, dim=1)).sigmoid()  # (batch, modality, width)
        private = torch.stack(
            [p(u).sigmoid() for p, u in zip(self.private.values(), known, strict=True)], dim=1
        )
        everything = torch.cat([shared, private], dim=1)  # (batch, 2 × modality, width)
        twice = torch.cat([present, present], dim=1)
        fused = self.norm(self.layer(everything, everything, twice))
        vector = torch.where(twice.unsqueeze(-1), fused, 0.0).flatten(1)
        penalty = self._penalty(torch.stack(known, dim=1), shared, private, present)
        return Fused(vector, penalty=penalty)

    def _penalty(self, known: Tensor, shared: Tensor, private: Tensor, present: Tensor) -> Tensor:
        """(batch,); known, shared and private are (batch, modality, width)."""
        pairs = list(combinations(range(len(self.dims)), 2))
        one, other = [i for i, _ in pairs], [j for _, j in pairs]
        both = present[:, one] & present[:, other]  # (batch, pair)
        apart = (shared[:, one] - shared[:, other]).square().mean(dim=-1)  # (batch, pair)
        alike = torch.cat(
            [_cosine(shared, private), _cosine(private[:, one], private[:, other])], dim=1
        ).square()  # (batch, modality + pair)
        lost = (known - self.decode(shared + private)).square().mean(dim=-1)  # (batch, modality)
        return (
            self.similarity * _mean(apart, both)
            + self.difference * _mean(alike, torch.cat([present, both], dim=1))
            + self.reconstruction * _mean(lost, present)
        )


def _cosine(one: Tensor, other: Tensor) -> Tensor:
    return nn.functional.cosine_similarity(one, other, dim=-1)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """(batch, n) to (batch,): the mean where the mask is True, zero where it never is."""
    return torch.where(mask, values, 0.0).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [MISAFusion]
