"""Modality dropout: in training, modalities go missing at random.

Neverova, Wolf, Taylor & Nebout, "ModDrop: Adaptive Multi-Modal Gesture Recognition", IEEE TPAMI
2016 (https://arxiv.org/abs/1501.00102).
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor

from mmbench.contracts import Model, Objective, Outputs, with_penalty
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.space import Range
from mmbench.types import FUSED_TARGETS, Features, Split, Task


class ModalityDropoutObjective(Objective):
    """Each modality of each sample goes missing with probability p; then the plain loss.

    A sample never loses all that it has: where that was drawn, it keeps everything.
    """

    name = "modality-dropout"
    offered = "named"
    targets = FUSED_TARGETS
    min_modalities = 2
    batched = False

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        p: Annotated[float, Range(0.05, 0.5)] = 0.2,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.p = p

    def dropped(self, features: Features) -> Tensor:
        """(batch, modality), True where a modality that is there goes missing."""
        present = torch.stack([e.present for e in features.values()], dim=1)
        drop = (torch.rand(present.shape, device=present.device) < self.p) & present
        return drop & (present & ~drop).any(dim=1, keepdim=True)

    def loss(self, model: Model, batch: Split) -> Tensor:
        features = model.encode(batch)
        gone = zip(features.items(), self.dropped(features).unbind(dim=1), strict=True)
        kept = {m: encoded.without(rows) for (m, encoded), rows in gone}
        outputs = model.respond(kept, batch.target)
        return with_penalty(self(outputs, batch.target), outputs)

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        return supervised_loss(self.task.target, outputs.scores, target).mean()


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [ModalityDropoutObjective]
