"""Class-balanced loss: a class counts by its effective number of samples.

Cui, Jia, Lin, Song & Belongie, "Class-Balanced Loss Based on Effective Number of Samples", CVPR
2019 (https://arxiv.org/abs/1901.05555).
Differs from the paper: the weights are scaled so that their mean over training rows, not over
classes, is one; so the learning rate means the same as without them.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor

from mmbench.contracts import Course, Model, Objective, Outputs
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.objectives._classes import counts_of, weights_of
from mmbench.space import Choice
from mmbench.types import Task


class WeightedObjective(Objective):
    """``L = mean of w_y L(f(x), y)`` with ``w_c ∝ (1 − β) / (1 − β^n_c)``.

    n_c is the number of training rows of class c. β = 0 weighs all alike; towards 1 it becomes the
    inverse frequency. Of labels, each is a class of its own with a positive and a negative side.
    """

    name = "weighted"
    offered = "named"
    targets = frozenset({"classification", "multilabel"})

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        beta: Annotated[float, Choice(0.9, 0.99, 0.999, 0.9999)] = 0.999,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.beta = beta
        sides = (2, task.n_outputs) if task.target == "multilabel" else (task.n_outputs,)
        self.register_buffer("weights", torch.ones(sides))
        self.weights: Tensor

    def begin(self, model: Model, course: Course) -> None:
        """Count the classes of the training part."""
        target, n = course.train.target, self.task.n_outputs
        if self.task.target == "classification":
            weights = weights_of(counts_of(target, n), self.beta)
        else:
            positive = target.float().sum(0)
            counts = torch.stack([len(target) - positive, positive])  # (side, label)
            weights = torch.stack([weights_of(c, self.beta) for c in counts.T], dim=1)
        self.weights = weights.to(self.weights.device)

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        if self.task.target == "classification":
            losses = supervised_loss("classification", outputs.scores, target)
            return (self.weights[target] * losses).mean()
        losses = torch.nn.functional.binary_cross_entropy_with_logits(
            outputs.scores, target.to(outputs.scores.dtype), reduction="none"
        )
        return (torch.where(target.bool(), self.weights[1], self.weights[0]) * losses).mean()


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [WeightedObjective]
