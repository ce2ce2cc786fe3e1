"""Gradient-Blend: weigh each head by how much it generalises against how much it overfits.

Wang, Tran & Feiszli, "What Makes Training Multi-Modal Classification Networks Hard?", CVPR 2020
(https://arxiv.org/abs/1905.12681).

Differs from the paper: its online version trains a copy of each unimodal model for some epochs to
estimate the weights of the next ones. Here they are estimated from the epochs that have just been
trained, which costs a look at the losses instead of trainings. Until the first estimate all heads
weigh the same. The weights are kept in bounds; see the class. AdamW takes the same step whatever
a loss weighs: weights act where losses meet, in encoders and in a fusion of decisions.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor

from mmbench.contracts import Course, Model, Objective, Outputs
from mmbench.hookspecs import hookimpl
from mmbench.objectives._heads import head_losses
from mmbench.objectives._present import present_in
from mmbench.space import Range
from mmbench.types import Split, Task

MOST_ROWS = 2048
"""As many rows of a part, evenly spread, are enough to estimate a mean loss."""
NEGLIGIBLE = 0.1
"""Overfitting below this share of the largest change of any loss cannot be told from none."""
SMALLEST_CHANGE = 1e-12
"""Of a loss; it keeps a division finite where nothing has changed."""


class GradientBlendObjective(Objective):
    """``L = Σ_k w_k L_k`` over the fused head and each modality's, ``w_k ∝ G_k / O_k²``, Σ w = 1.

    Between two checkpoints ``every`` epochs apart, G_k is how far the validation loss of head k has
    fallen and O_k how far the gap to its training loss has widened. A head that has not gained
    (G ≤ 0) counts as G = 0; an O that is small against the largest change of all counts as
    ``NEGLIGIBLE`` of it; if no head has gained, the weights stay. A share ``floor`` of the whole is
    spread evenly, so that no head, the fused one least of all, ever stops learning.
    """

    name = "gradient-blend"
    acts_on_heads = True
    min_modalities = 2
    needs_unimodal = True
    batched = False
    weights: Tensor  # (1 + modality,) of the fused head, then of each modality's
    losses: Tensor  # (2, 1 + modality) on train and val at the last checkpoint

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        every: Annotated[int, Range(1, 5)] = 2,
        floor: Annotated[float, Range(0.05, 0.5, log=True)] = 0.2,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.every, self.floor = every, floor
        heads = 1 + len(dims)
        self.register_buffer("weights", torch.full((heads,), 1 / heads))
        self.register_buffer("losses", torch.zeros(2, heads))

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        losses = head_losses(self.task.target, outputs, target, self.modalities)
        return (self.weights * losses).sum()

    def begin_epoch(self, epoch: int, model: Model, course: Course) -> None:
        if epoch % self.every == 0:
            parts = (course.train, course.val)
            now = torch.stack([self.mean_losses(model, course, part) for part in parts])
            if epoch > 0:
                self.weights = blend(self.losses, now, self.weights, self.floor)
            self.losses = now

    @torch.no_grad()
    def mean_losses(self, model: Model, course: Course, part: Split) -> Tensor:
        """(1 + modality,): the loss of each head over the rows of ``part`` that have it."""
        chosen = torch.linspace(0, len(part) - 1, min(len(part), MOST_ROWS)).long()
        total, count = torch.zeros_like(self.weights), torch.zeros_like(self.weights)
        for batch in course.batches(part.rows(chosen)):
            outputs = model.respond(model.encode(batch))
            rows = [present_in(outputs, m) for m in self.modalities]
            counted = torch.stack([torch.ones_like(rows[0]), *rows]).sum(1)
            losses = head_losses(self.task.target, outputs, batch.target, self.modalities)
            total += counted * losses
            count += counted
        return total / count.clamp(min=1)


def blend(before: Tensor, now: Tensor, weights: Tensor, floor: float) -> Tensor:
    """The weights (heads,) by the losses (2, heads) on train and val at two checkpoints."""
    gain = before[1] - now[1]
    overfitting = (now[1] - now[0]) - (before[1] - before[0])
    unit = torch.cat([gain.abs(), overfitting.abs()]).max().clamp(min=SMALLEST_CHANGE)
    raw = (gain / unit).clamp(min=0) / (overfitting / unit).abs().clamp(min=NEGLIGIBLE).square()
    shares = raw / raw.sum().clamp(min=SMALLEST_CHANGE)
    estimate = floor / len(shares) + (1 - floor) * shares
    return torch.where(raw.sum() > 0, estimate, weights)


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [GradientBlendObjective]
