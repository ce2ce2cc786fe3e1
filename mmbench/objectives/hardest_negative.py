"""A triplet loss on the hardest negative in the batch, between the two sides of a retrieval task.

Faghri, Fleet, Kiros & Fidler, "VSE++: Improving Visual-Semantic Embeddings with Hard Negatives",
BMVC 2018 (https://arxiv.org/abs/1707.05612). With all negatives it is the sum of hinges of Kiros,
Salakhutdinov & Zemel, "Unifying Visual-Semantic Embeddings", 2014.
Differs from the paper: rows that share an item are not negatives of each other. The first epochs
take all negatives, as in the code of Chen, Hu, Wu, Jiang & Wang, "Learning the Best Pooling
Strategy for Visual Semantic Embedding", CVPR 2021: the hardest alone draw encoders that start from
nothing to one point, where every hinge is the margin, and they stay there.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor

from mmbench.contracts import Course, Model, Objective, Outputs
from mmbench.hookspecs import hookimpl
from mmbench.objectives._contrast import Matching, matching
from mmbench.objectives._present import mean_over
from mmbench.space import Choice, Range, When
from mmbench.types import Task


class HardestNegativeObjective(Objective):
    """``L = mean_i max_j [m − s_ii + s_ij]₊ + mean_i max_j [m − s_ii + s_ji]₊`` with margin m.

    ``negatives`` = ``all`` takes the sum over j instead of the maximum, always; else it does so in
    the first ``warmup`` epochs.
    """

    name = "hardest-negative"
    targets = frozenset({"retrieval"})
    batched = False

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        margin: Annotated[float, Range(0.05, 0.5, log=True)] = 0.2,
        negatives: Annotated[str, Choice("hardest", "all")] = "hardest",
        warmup: Annotated[int, Range(0, 5), When("negatives", "hardest")] = 3,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.margin, self.negatives, self.warmup = margin, negatives, warmup
        self.hardest = negatives == "hardest"

    def begin_epoch(self, epoch: int, model: Model, course: Course) -> None:
        """From all negatives to the hardest, once there is something to tell apart."""
        self.hardest = self.negatives == "hardest" and epoch >= self.warmup

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        there = matching(outputs, target, self.modalities)
        return self.hinges(there) + self.hinges(there.reverse)

    def hinges(self, there: Matching) -> Tensor:
        """The mean over anchors that have both sides, a scalar."""
        own = there.similarity.diagonal().unsqueeze(1)
        over = (self.margin - own + there.similarity).clamp(min=0)  # (anchor, candidate)
        over = torch.where(there.distinct & there.counted.unsqueeze(0), over, 0.0)
        cost = over.amax(dim=1) if self.hardest else over.sum(dim=1)
        return mean_over(cost, there.counted)


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [HardestNegativeObjective]
