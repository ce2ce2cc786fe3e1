"""ReconBoost: modalities learn in turns, each from the rows that the others are not sure of.

Hua, Xu, Bao, Yang & Huang, "ReconBoost: Boosting Can Achieve Modality Reconcilement", ICML 2024
(https://arxiv.org/abs/2405.09321). As in the authors' code, what the others know takes weight off
the true class alone; the loss then has a minimum, which it has not if it is taken off all classes.
Differs from the paper: a stage is a batch, with one step of the learner whose turn it is and one of
all together, not epochs of each, so that every modality learns in a training of any length. The
agreement has a gradient (in the authors' code it has none). There is no boosting rate.
"""

from collections.abc import Callable, Mapping
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbench.contracts import Course, Model, Objective, Outputs, with_penalty
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.objectives._present import mean_over, present_in
from mmbench.space import Range
from mmbench.types import Split, Task


class ReconBoostObjective(Objective):
    """In m's turn a step down ``L_m``, then one of the whole model down ``L(Σ_m s_m, y)``.

    ``L_m = mean of −(1 − reconcile · q_y) log p_my + agreement · mean of (p_m − p_l)²``: p_m are
    the probabilities by m's head, q those by the sum of all other heads' scores, l is the modality
    that had its turn before. Neither q nor p_l gets a gradient. Means are over the rows that have m
    (and l), and over classes. Only m's own encoder and head learn in its turn.
    """

    name = "reconboost"
    offered = "named"
    targets = frozenset({"classification"})
    min_modalities = 2
    needs_unimodal = True
    requires = {"fusion": ("late-product",)}  # noqa: RUF012 - declared ClassVar in Objective
    batched = False

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        reconcile: Annotated[float, Range(0.0, 0.9)] = 0.2,
        agreement: Annotated[float, Range(0.01, 1.0, log=True)] = 0.1,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.reconcile, self.agreement = reconcile, agreement
        self.turn = 0

    def begin(self, model: Model, course: Course) -> None:
        """The first modality has the first turn."""
        self.turn = 0

    def step(self, model: Model, batch: Split, update: Callable[[], None]) -> Tensor:
        outputs = model.respond(model.encode(batch))
        alone = self.boosted(outputs, batch.target, self.turn)
        alone.backward()
        update()
        self.turn = (self.turn + 1) % len(self.modalities)
        outputs = model.respond(model.encode(batch))
        together = with_penalty(self.rectified(outputs, batch.target), outputs)
        together.backward()
        update()
        return alone.detach() + together.detach()

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        """All turns and the step together in one number."""
        turns = [self.boosted(outputs, target, i) for i in range(len(self.modalities))]
        return self.rectified(outputs, target) + torch.stack(turns).sum()

    def rectified(self, outputs: Outputs, target: Tensor) -> Tensor:
        return supervised_loss(self.task.target, outputs.scores, target).mean()

    def boosted(self, outputs: Outputs, target: Tensor, turn: int) -> Tensor:
        """L_m of the modality whose turn it is, a scalar."""
        modality, last = self.modalities[turn], self.modalities[turn - 1]
        scores, present = outputs.unimodal[modality], present_in(outputs, modality)
        left = 1 - self.reconcile * self.known(outputs, target, modality)
        loss = mean_over(left * F.cross_entropy(scores, target, reduction="none"), present)
        apart = scores.softmax(-1) - outputs.unimodal[last].detach().softmax(-1)
        both = present & present_in(outputs, last)
        return loss + self.agreement * mean_over(apart.square().mean(-1), both)

    @torch.no_grad()
    def known(self, outputs: Outputs, target: Tensor, modality: str) -> Tensor:
        """(batch,): how probable the other modalities hold the true class."""
        total = torch.zeros_like(outputs.unimodal[modality])
        for other in self.modalities:
            if other != modality:
                there = present_in(outputs, other).unsqueeze(1)
                total = total + torch.where(there, outputs.unimodal[other], 0.0)
        return total.softmax(-1).gather(1, target.unsqueeze(1)).squeeze(1)


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [ReconBoostObjective]
