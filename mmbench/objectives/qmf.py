"""Quality-aware multimodal fusion (QMF): a head is sure of what it has learnt easily.

Zhang, Wu, Zhang, Hu, Fu, Zhou & Peng, "Provable Dynamic Fusion for Low-Quality Multimodal Data",
ICML 2023 (https://arxiv.org/abs/2306.02050), with the ranking loss of Moon, Kim, Shin & Hwang,
"Confidence-Aware Learning for Deep Neural Networks", ICML 2020 (https://arxiv.org/abs/2007.01458).
Differs from the paper: all pairs of a batch are ranked, where the authors' code takes each row and
the next, and a row's history is the mean of its past losses over the largest there is, so that rows
seen once more than others do not look harder. The margin asks for a gap, as in Moon et al.; in the
authors' code its sign lets a wrong order pass.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor

from mmbench.contracts import Course, Model, Objective, Outputs, with_penalty
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.objectives._present import mean_over, present_in, unimodal_losses
from mmbench.space import Range
from mmbench.types import Split, Task

ENERGY_SCALE = 10.0
"""The authors divide the log-sum-exp by it, as the fusion does."""


class QMFObjective(Objective):
    """``L = L_fused + Σ_m (L_m + λ R_m)``, ``R = mean of max(0, g(κ_i, κ_j)(c_i − c_j) + |κ_i − κ_j|)``.

    c = ``log Σ exp(s) / 10`` is the confidence of a modality's head in a row, κ the mean of the
    losses it has had there, in all epochs up to now, and g(κ_i, κ_j) the sign of κ_i − κ_j. The mean
    is over pairs of rows that have the modality: the harder one shall be the less confident.
    """  # noqa: E501 - the formula

    name = "qmf"
    offered = "named"
    targets = frozenset({"classification"})
    min_modalities = 2
    needs_unimodal = True
    requires = {"fusion": ("confidence",)}  # noqa: RUF012 - declared ClassVar in Objective
    batched = False

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        weight: Annotated[float, Range(0.01, 1.0, log=True)] = 0.1,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.weight = weight
        for buffer in ("totals", "counts"):  # (modality, training row)
            self.register_buffer(buffer, torch.zeros(len(dims), 0))
        self.totals: Tensor
        self.counts: Tensor

    def begin(self, model: Model, course: Course) -> None:
        """Make room for what each training row will have cost each modality."""
        self.totals = self.totals.new_zeros(len(self.dims), len(course.train))
        self.counts = torch.zeros_like(self.totals)

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        """The losses alone: ranking needs to know which rows these are."""
        loss = supervised_loss(self.task.target, outputs.scores, target).mean()
        return loss + sum(unimodal_losses(self.task.target, outputs, target).values())

    def loss(self, model: Model, batch: Split) -> Tensor:
        outputs = model.respond(model.encode(batch))
        history = self.remember(outputs, batch)  # (modality, batch)
        ranking = [
            ranking_loss(scores.logsumexp(-1) / ENERGY_SCALE, past, present_in(outputs, m))
            for (m, scores), past in zip(outputs.unimodal.items(), history, strict=True)
        ]
        losses = self(outputs, batch.target) + self.weight * torch.stack(ranking).sum()
        return with_penalty(losses, outputs)

    @torch.no_grad()
    def remember(self, outputs: Outputs, batch: Split) -> Tensor:
        """(modality, batch): each row's mean loss with this one, over the largest; 0 if none."""
        assert batch.ids is not None, "a batch knows its rows"
        ids = batch.ids.to(self.totals.device)
        for i, (modality, scores) in enumerate(outputs.unimodal.items()):
            present = present_in(outputs, modality).to(self.totals.dtype)
            losses = supervised_loss(self.task.target, scores, batch.target)
            self.totals[i].index_add_(0, ids, losses.to(self.totals.dtype) * present)
            self.counts[i].index_add_(0, ids, present)
        means = self.totals / self.counts.clamp(min=1)
        return means[:, ids] / means.amax(dim=1, keepdim=True).clamp(min=1e-12)


def ranking_loss(confidence: Tensor, history: Tensor, present: Tensor) -> Tensor:
    """A scalar of three (batch,): what pairs of present rows cost that are in the wrong order."""
    harder = history.unsqueeze(1) - history  # (batch, batch)
    surer = confidence.unsqueeze(1) - confidence
    pairs = (present.unsqueeze(1) & present).fill_diagonal_(fill_value=False)
    return mean_over((harder.sign() * surer + harder.abs()).relu(), pairs)


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [QMFObjective]
