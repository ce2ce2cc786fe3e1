"""Self-MM: each modality learns a label of its own, read off where its features lie.

Yu, Xu, Yuan & Wu, "Learning Modality-Specific Representations with Self-Supervised Multi-Task
Learning for Multimodal Sentiment Analysis", AAAI 2021 (https://arxiv.org/abs/2102.04830).
Differs from the paper: it regresses sentiment, with zero between negative and positive. Here
numbers are taken in deviations from their mean; labels count as 1 and −1; a class as one label for
each class, and the generated ones are scaled to sum to one again. Every output has two centres.
Features are the pooled and the fused vectors themselves. Labels and centres are renewed before an
epoch, not batch by batch. In the first epoch, when no label is of the modality's own yet, heads
learn the target with a weight of one, not of zero. The loss is the task's, not the absolute error.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbench.contracts import Course, Model, Objective, Outputs, with_penalty
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.objectives._present import mean_over, present_in, unimodal_losses
from mmbench.types import Split, TargetKind, Task

LEAST = 1e-8
"""What a distance or a ratio is divided by at least."""


class SelfMMObjective(Objective):
    """``L = L(f(x), y) + Σ_m mean of tanh(|y_m − y|) ℓ(s_m, y_m)``, y_m the modality's own label.

    Before each epoch i = 2, 3, …: ``y_m ← (i − 1)/(i + 1) y_m + 2/(i + 1) ŷ_m``, y_m = y at first,
    ``ŷ_m = (y a_m / a + y + a_m − a) / 2``, at most as far from zero as any y. ``a_m = (d⁻ − d⁺) /
    d⁺`` is how much nearer m's features are to the mean of the rows with y_m ≥ 0 than to that of
    the others, a the same of the fused vector. Means are over the rows that have m, and outputs.
    """

    name = "self-mm"
    offered = "named"
    acts_on_heads = True
    min_modalities = 2
    needs_unimodal = True
    batched = False
    truth: Tensor  # (training row, n_outputs), y
    labels: Tensor  # (modality, training row, n_outputs), y_m

    def __init__(self, task: Task, dims: Mapping[str, int], fused_dim: int) -> None:
        super().__init__(task, dims, fused_dim)
        self.register_buffer("truth", torch.zeros(0, task.n_outputs))
        self.register_buffer("labels", torch.zeros(len(dims), 0, task.n_outputs))
        self.register_buffer("centre", torch.zeros(task.n_outputs))
        self.register_buffer("unit", torch.ones(task.n_outputs))
        self.centre: Tensor  # what is neither positive nor negative, in the target's own units
        self.unit: Tensor
        self.epoch = 0

    def begin(self, model: Model, course: Course) -> None:
        """Bring the target on a scale with a zero; it is every modality's first label."""
        target = course.train.target.to(self.centre.device)
        signs = on_scale(self.task.target, target, self.task.n_outputs).to(self.centre.dtype)
        if self.task.target == "regression":
            self.centre, self.unit = signs.mean(dim=0), signs.std(dim=0, correction=0)
        self.truth = (signs - self.centre) / self.unit.clamp(min=LEAST)
        self.labels = self.truth.expand(len(self.dims), -1, -1).clone()

    @torch.no_grad()
    def begin_epoch(self, epoch: int, model: Model, course: Course) -> None:
        """Renew the labels, from the features as they are now."""
        self.epoch = epoch
        if epoch == 0:
            return
        vectors, present = self.look(model, course)
        everywhere = torch.ones_like(present[0])
        fused = nearness(vectors[-1], self.truth, everywhere)
        for i, there in enumerate(present):
            own = nearness(vectors[i], self.labels[i], there)
            new = shifted(self.truth, own, fused)
            moved = self.labels[i].lerp(new, 2 / (epoch + 2))  # i of the formula is epoch + 1
            self.labels[i] = torch.where(there.unsqueeze(1), moved, self.labels[i])

    def look(self, model: Model, course: Course) -> tuple[list[Tensor], list[Tensor]]:
        """All training rows: each modality's features, then the fused; and which rows have it."""
        seen = [model.respond(model.encode(batch)) for batch in course.batches(course.train)]
        vectors = [torch.cat([o.features[m].pooled for o in seen]) for m in self.modalities]
        present = [torch.cat([o.features[m].present for o in seen]) for m in self.modalities]
        return [*vectors, torch.cat([o.fused for o in seen])], present

    def loss(self, model: Model, batch: Split) -> Tensor:
        outputs = model.respond(model.encode(batch))
        if self.epoch == 0:
            return with_penalty(self(outputs, batch.target), outputs)
        assert batch.ids is not None, "a batch knows its rows"
        ids = batch.ids.to(self.truth.device)
        loss = supervised_loss(self.task.target, outputs.scores, batch.target).mean()
        for i, modality in enumerate(self.modalities):
            label, truth = self.labels[i, ids], self.truth[ids]  # (batch, n_outputs)
            weights = (label - truth).abs().mean(dim=-1).tanh()
            each = self.loss_of(outputs.unimodal[modality], label)
            loss = loss + mean_over(weights * each, present_in(outputs, modality))
        return with_penalty(loss, outputs)

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        """The loss of the first epoch: every head learns the target."""
        loss = supervised_loss(self.task.target, outputs.scores, target).mean()
        return loss + sum(unimodal_losses(self.task.target, outputs, target).values())

    def loss_of(self, scores: Tensor, label: Tensor) -> Tensor:
        """(batch,): the task's loss of generated labels (batch, n_outputs)."""
        if self.task.target == "regression":
            numbers = label * self.unit + self.centre
            return (scores - numbers).square().mean(dim=-1)
        chances = (label + 1) / 2
        if self.task.target == "multilabel":
            return F.binary_cross_entropy_with_logits(scores, chances, reduction="none").mean(-1)
        shares = chances / chances.sum(dim=-1, keepdim=True).clamp(min=LEAST)
        return F.cross_entropy(scores, shares, reduction="none")


def on_scale(kind: TargetKind, target: Tensor, n_outputs: int) -> Tensor:
    """(rows, n_outputs): numbers as they are, labels and classes as 1 or −1."""
    if kind == "regression":
        return target.reshape(len(target), n_outputs)
    labels = F.one_hot(target, n_outputs) if kind == "classification" else target
    return labels * 2.0 - 1


def nearness(vectors: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
    """(rows, n_outputs): a, by the centres of ``vectors`` (rows, dim) over the ``rows`` given."""
    vectors = vectors.to(labels.dtype)
    near, far = (distances(vectors, side & rows.unsqueeze(1)) for side in (labels >= 0, labels < 0))
    return (far - near) / near.clamp(min=LEAST)


def distances(vectors: Tensor, members: Tensor) -> Tensor:
    """(rows, n_outputs): how far each row is from the mean of an output's ``members``."""
    counted = members.to(vectors.dtype)
    centres = (counted.T @ vectors) / counted.sum(dim=0).clamp(min=1).unsqueeze(1)
    # exact where a row is close to its centre: what is near zero divides
    return torch.cdist(vectors, centres, compute_mode="donot_use_mm_for_euclid_dist")


def shifted(truth: Tensor, own: Tensor, fused: Tensor) -> Tensor:
    """ŷ_m (rows, n_outputs) of y, a_m and a."""
    safe = torch.where(fused < 0, fused.clamp(max=-LEAST), fused.clamp(min=LEAST))
    label = (truth * own / safe + truth + own - fused) / 2
    furthest = truth.abs().amax(dim=0)
    return label.clamp(-furthest, furthest)


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [SelfMMObjective]
