"""A sigmoid for every pair of a batch: whether it belongs together.

Zhai, Mustafa, Kolesnikov & Beyer, "Sigmoid Loss for Language Image Pre-Training" (SigLIP), ICCV
2023 (https://arxiv.org/abs/2303.15343).
Differs from the paper: a pair of two rows that share an item belongs together, too.
"""

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbench.contracts import Objective, Outputs
from mmbench.hookspecs import hookimpl
from mmbench.objectives._contrast import matching
from mmbench.objectives._present import mean_over
from mmbench.space import Range
from mmbench.types import Task


class SigmoidPairsObjective(Objective):
    """``L = mean_i Σ_j log(1 + exp(−z_ij (t s_ij + b)))``; z_ij is 1 where i and j belong together.

    ``t`` and ``b`` are trained from ``scale`` and ``bias`` on, t by its logarithm.
    """

    name = "sigmoid-pairs"
    targets = frozenset({"retrieval"})

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        scale: Annotated[float, Range(2.0, 50.0, log=True)] = 10.0,
        bias: Annotated[float, Range(-12.0, 0.0)] = -10.0,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        self.bias = nn.Parameter(torch.tensor(bias))

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        there = matching(outputs, target, self.modalities)
        logits = self.log_scale.exp() * there.similarity + self.bias
        cost = F.softplus(torch.where(there.distinct, logits, -logits))
        cost = torch.where(there.counted.unsqueeze(0), cost, 0.0).sum(dim=1)
        return mean_over(cost, there.counted)


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [SigmoidPairsObjective]
