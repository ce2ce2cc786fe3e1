"""Concatenation with trained weights that sum to one.

A textbook fusion without a paper of its own: ``v = w ⊙ (x_1 ⊕ … ⊕ x_M)`` with ``Σ w = 1``.
Differs from the textbook: the result is multiplied by the number of weights of what is present, so
that equal weights are plain concatenation; without it, thousands of units would each start near
zero.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fused, Fusion
from mmbench.fusions._projection import pooled
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice
from mmbench.types import Features


class WeightedConcatFusion(Fusion):
    """``z = n w ⊙ [x_1; …; x_M]``, ``w = softmax(trained logits)``: n weights, equal at the start.

    There is a weight ``per`` modality, or per unit of the concatenated vector. The n weights of
    what is present sum to one; a missing modality is a block of zeros.
    """

    name = "weighted-concat"
    offered = "named"
    capabilities = Capabilities(handles_missing=True)

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        per: Annotated[str, Choice("modality", "unit")] = "modality",
    ) -> None:
        super().__init__(dims)
        self.counts = [1 if per == "modality" else dim for dim in dims.values()]
        self.logits = nn.Parameter(torch.zeros(sum(self.counts)))
        self.out_dim = sum(dims.values())

    def forward(self, features: Features) -> Fused:
        every, n = self._weights(features)
        weights = every.split(self.counts, dim=-1)  # each (batch, its weights)
        blocks = [w * pooled(features[m]) for w, m in zip(weights, self.dims, strict=True)]
        shares = torch.stack([w.sum(dim=-1) for w in weights], dim=1)  # (batch, modality)
        return Fused(n * torch.cat(blocks, dim=-1), weights=shares)

    def _weights(self, features: Features) -> tuple[Tensor, Tensor]:
        """(batch, weights), and how many of them are of what is present, (batch, 1)."""
        present = torch.cat(
            [
                features[m].present.unsqueeze(1).expand(-1, count)
                for m, count in zip(self.dims, self.counts, strict=True)
            ],
            dim=-1,
        )  # (batch, weights)
        lowest = torch.finfo(self.logits.dtype).min
        weights = torch.where(present, self.logits, lowest).softmax(dim=-1) * present
        return weights, present.sum(dim=-1, keepdim=True)


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [WeightedConcatFusion]
