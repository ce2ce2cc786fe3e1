"""The fused loss plus a weighted loss of each modality's own head.

The fixed-weight form of Wang, Tran & Feiszli, "What Makes Training Multi-Modal Classification
Networks Hard?", CVPR 2020 (https://arxiv.org/abs/1905.12681); it then estimates the weights.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor

from mmbench.contracts import Objective, Outputs
from mmbench.errors import InvalidParameter, did_you_mean
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.space import Range
from mmbench.types import FUSED_TARGETS, Task


class JointObjective(Objective):
    """``L = L_fused + Σ_m λ_m L_m``, each L_m a mean over the rows where m is present.

    λ is ``weight`` for every modality, but for those that ``weights`` names, as in
    ``"image=0.3,question=0.7"``.
    """

    name = "joint"
    targets = FUSED_TARGETS
    acts_on_heads = True
    min_modalities = 2
    needs_unimodal = True

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        weight: Annotated[float, Range(0.05, 2.0, log=True)] = 0.5,
        weights: str = "",
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.weights = dict.fromkeys(dims, weight) | parsed(weights, list(dims))

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        loss = supervised_loss(self.task.target, outputs.scores, target).mean()
        for modality, scores in outputs.unimodal.items():
            losses = supervised_loss(self.task.target, scores, target)  # (batch,)
            if modality in outputs.features:
                present = outputs.features[modality].present
                alone = torch.where(present, losses, 0.0).sum() / present.sum().clamp(min=1)
            else:
                alone = losses.mean()
            loss = loss + self.weights[modality] * alone
        return loss


def parsed(text: str, modalities: Sequence[str]) -> dict[str, float]:
    """``"image=0.3,question=0.7"`` as ``{"image": 0.3, "question": 0.7}``, checked."""
    weights: dict[str, float] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        modality, _, value = (p.strip() for p in part.partition("="))
        if modality not in modalities:
            raise InvalidParameter(
                f"joint.weights names the modality {modality!r}."
                f"{did_you_mean(modality, modalities)} There is: {', '.join(modalities)}."
            )
        if modality in weights:
            raise InvalidParameter(f"joint.weights names {modality!r} twice: {text!r}.")
        weights[modality] = _weight(part, value)
    return weights


def _weight(part: str, value: str) -> float:
    try:
        weight = float(value)
    except ValueError:
        weight = math.nan
    if not 0 <= weight < math.inf:
        raise InvalidParameter(
            f"joint.weights has {part!r}. Allowed: modality=number, the number 0 or more, joined "
            f"by commas, as in 'image=0.3,question=0.7'."
        )
    return weight


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [JointObjective]
