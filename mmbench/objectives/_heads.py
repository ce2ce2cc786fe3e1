"""What the paradigms that read a head of each modality share."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mmbench.contracts import Model, Objective, Outputs, with_penalty
from mmbench.losses import supervised_loss
from mmbench.objectives._present import mean_over, present_in
from mmbench.types import Features, TargetKind


def head_losses(
    kind: TargetKind, outputs: Outputs, target: Tensor, modalities: Sequence[str]
) -> Tensor:
    """(1 + modality,): the mean loss of the fused head, then of each modality's own head."""
    losses = [supervised_loss(kind, outputs.scores, target).mean()]
    for modality in modalities:
        each = supervised_loss(kind, outputs.unimodal[modality], target)  # (batch,)
        losses.append(mean_over(each, present_in(outputs, modality)))
    return torch.stack(losses)


class ProbedObjective(Objective):
    """Watches each modality through a head of its own, which its encoder does not feel.

    The heads are probes: they learn on detached features, so that watching changes nothing in what
    is watched. With a decision-level fusion the heads do the fusion's work: it trains them, and
    they get no loss of their own.
    """

    targets = frozenset({"classification"})
    needs_unimodal = True
    batched = False

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        """The fused loss plus that of each head in ``outputs.unimodal``."""
        return head_losses(self.task.target, outputs, target, tuple(outputs.unimodal)).sum()

    def probe(self, model: Model, features: Features) -> dict[str, Tensor]:
        """What each modality's head says of its detached features: (batch, n_outputs)."""
        heads = model.unimodal_heads_by_modality
        return {m: head(features[m].pooled.detach()) for m, head in heads.items()}

    def whole_loss(
        self, model: Model, outputs: Outputs, probes: Mapping[str, Tensor], target: Tensor
    ) -> Tensor:
        """The fused loss, the probes' and the fusion's penalty."""
        taught = {} if model.head is None else probes
        return with_penalty(self(replace(outputs, unimodal=taught), target), outputs)
