"""Multi-task training: the fused prediction and each modality's own, weighted by uncertainty.

Kendall, Gal & Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry
and Semantics", CVPR 2018 (https://arxiv.org/abs/1705.07115): the noise of each task is learnt.
Differs from the paper: its tasks have targets of their own; here all predict the same one.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmbench.contracts import Objective, Outputs
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.objectives._present import unimodal_losses
from mmbench.types import Task


class MultiTaskObjective(Objective):
    """``L = Σ_t exp(−s_t) L_t + s_t / 2`` over the fused and every modality's own prediction.

    ``s_t = log σ_t²`` is learnt, from 0. For squared errors the first term is halved, as in the
    Gaussian likelihood of the paper.
    """

    name = "multi-task"
    offered = "named"
    acts_on_heads = True
    min_modalities = 2
    needs_unimodal = True

    def __init__(self, task: Task, dims: Mapping[str, int], fused_dim: int) -> None:
        super().__init__(task, dims, fused_dim)
        self.log_variances = nn.Parameter(torch.zeros(1 + len(dims)))

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        kind = self.task.target
        alone = unimodal_losses(kind, outputs, target)
        fused = supervised_loss(kind, outputs.scores, target).mean()
        losses = torch.stack([fused, *(alone[m] for m in self.modalities)])
        scale = 0.5 if kind == "regression" else 1.0
        return (scale * (-self.log_variances).exp() * losses + self.log_variances / 2).sum()


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [MultiTaskObjective]
