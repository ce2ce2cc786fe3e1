"""Calibrated multimodal learning: less to look at must not make a model more sure.

Ma, Zhang, Zhang, Wu, Fu, Zhou & Hu, "Calibrating Multimodal Learning", ICML 2023
(https://arxiv.org/abs/2306.01265).
Differs from the paper: one modality is removed at a time, instead of random nested subsets.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor

from mmbench.contracts import Model, Objective, Outputs, with_penalty
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.objectives._present import mean_over
from mmbench.space import Range
from mmbench.types import Split, Task


class CMLObjective(Objective):
    """``L = L(f(x), y) + weight · Σ_m mean of max(0, c(x without m) − c(x))``.

    c is the model's confidence, the probability of its most probable class. The mean is over the
    rows that have m and something else. With one modality alone it is the plain loss.
    """

    name = "cml"
    offered = "named"
    targets = frozenset({"classification"})
    min_modalities = 2
    batched = False

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        weight: Annotated[float, Range(0.05, 5.0, log=True)] = 0.5,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.weight = weight

    def loss(self, model: Model, batch: Split) -> Tensor:
        features = model.encode(batch)
        outputs = model.respond(features)
        loss = with_penalty(self(outputs, batch.target), outputs)
        everything, sure = torch.ones_like(batch.target, dtype=torch.bool), confidence(outputs)
        for modality, encoded in features.items() if len(features) > 1 else ():
            others = [e.present for m, e in features.items() if m != modality]
            counted = encoded.present & torch.stack(others).any(dim=0)
            less = model.respond({**features, modality: encoded.without(everything)})
            excess = (confidence(less) - sure).clamp(min=0)
            loss = loss + self.weight * mean_over(excess, counted)
        return loss

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        return supervised_loss(self.task.target, outputs.scores, target).mean()


def confidence(outputs: Outputs) -> Tensor:
    """(batch,) the probability of the most probable class."""
    return outputs.scores.softmax(dim=-1).amax(dim=-1)


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [CMLObjective]
