"""PMR: draw the modality that lags towards the prototypes of its classes.

Fan, Xu, Wang, Wang & Guo, "PMR: Prototypical Modal Rebalance for Multimodal Learning", CVPR 2023
(https://arxiv.org/abs/2211.07089).

Differs from the paper: prototypes are means over the whole training part, not over a tenth of it;
with more than two modalities each is compared with the mean of the others; the entropy is a mean
over rows; scores are means over the rows that have the modality.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbench.contracts import Course, Model, Objective, Outputs
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.objectives._dominance import dominance, true_class_probability
from mmbench.objectives._present import mean_over
from mmbench.space import Range
from mmbench.types import Task

SQUARED_EPSILON = 1e-12
"""Under the root of a distance: at zero its slope would be infinite."""


class PMRObjective(Objective):
    """``L = L_fused + α Σ_m clip(1/ρ_m − 1, 0, 1) PCE_m − μ Σ_m clip(ρ_m − 1, 0, 1) H_m``.

    ``p_m = softmax(−‖x_m − c_mk‖)`` over the classes k, c_mk the mean feature of class k on the
    training part. PCE_m is the cross-entropy of p_m and H_m its entropy, which only counts in the
    first ``entropy_epochs``. ρ_m is the mean p_m of the true class over the mean of the other
    modalities'; so a modality is either behind (the first sum) or ahead (the second). Prototypes
    are recomputed before each epoch: ``c ← (1 − momentum) c_now + momentum c``.
    """

    name = "pmr"
    acts_on_encoders = True
    targets = frozenset({"classification"})
    min_modalities = 2
    batched = False

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        alpha: Annotated[float, Range(0.1, 2.0, log=True)] = 1.0,
        mu: Annotated[float, Range(0.001, 0.5, log=True)] = 0.05,
        entropy_epochs: Annotated[int, Range(0, 5)] = 2,
        momentum: Annotated[float, Range(0.0, 0.9)] = 0.2,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.alpha, self.mu = alpha, mu
        self.entropy_epochs, self.momentum = entropy_epochs, momentum
        self.epoch = 0
        for i, width in enumerate(dims.values()):
            self.register_buffer(f"prototypes_{i}", torch.zeros(task.n_outputs, width))
        self.register_buffer("known", torch.zeros(len(dims), task.n_outputs, dtype=torch.bool))

    known: Tensor  # (modality, class), True where a prototype has been seen

    def prototypes(self, i: int) -> Tensor:
        """(class, dim) of the i-th modality."""
        return self.get_buffer(f"prototypes_{i}")

    @torch.no_grad()
    def begin_epoch(self, epoch: int, model: Model, course: Course) -> None:
        self.epoch = epoch
        sums = [torch.zeros_like(self.prototypes(i)) for i in range(len(self.modalities))]
        counts = torch.zeros_like(self.known, dtype=torch.float)
        for batch in course.batches(course.train):
            features = model.encode(batch)
            classes = F.one_hot(batch.target, self.task.n_outputs)  # (batch, class)
            for i, m in enumerate(self.modalities):
                members = (classes * features[m].present.unsqueeze(1)).to(sums[i].dtype)
                sums[i] += members.T @ features[m].pooled
                counts[i] += members.sum(0)
        for i, total in enumerate(sums):
            self._renew(i, total / counts[i].clamp(min=1).unsqueeze(1))
        self.known |= counts > 0

    def _renew(self, i: int, now: Tensor) -> None:
        old = self.prototypes(i)
        mixed = torch.where(self.known[i].unsqueeze(1), now.lerp(old, self.momentum), now)
        self.register_buffer(f"prototypes_{i}", mixed)

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        loss = supervised_loss(self.task.target, outputs.scores, target).mean()
        logits = {
            m: self.similarities(i, outputs.features[m].pooled)
            for i, m in enumerate(self.modalities)
        }
        ratio = dominance(*true_class_probability(logits, target, outputs.features))
        behind, ahead = (1 / ratio - 1).clamp(0, 1), (ratio - 1).clamp(0, 1)
        for i, m in enumerate(self.modalities):
            present = outputs.features[m].present
            each = F.cross_entropy(logits[m], target, reduction="none")
            judged = present & self.known[i][target]
            loss = loss + self.alpha * behind[i] * mean_over(each, judged)
            if self.epoch < self.entropy_epochs:
                loss = loss - self.mu * ahead[i] * mean_over(entropy(logits[m]), present)
        return loss

    def similarities(self, i: int, pooled: Tensor) -> Tensor:
        """(batch, class): minus the distance to each prototype; hopeless where there is none."""
        squares = (pooled.unsqueeze(1) - self.prototypes(i)).square().sum(-1)
        hopeless = torch.finfo(squares.dtype).min / 2
        return torch.where(self.known[i], -(squares + SQUARED_EPSILON).sqrt(), hopeless)


def entropy(logits: Tensor) -> Tensor:
    """(batch,), in nats."""
    return -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1)


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [PMRObjective]
