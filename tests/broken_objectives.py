"""A sound objective and a sound head, and what can be wrong with others."""

from typing import Annotated

import numpy as np
import optuna
import torch
from torch import nn

from mmbench.contracts import Head, Objective
from mmbench.heads.linear import LinearHead
from mmbench.space import Range


class SqueezingHead(Head):
    name = "squeezing"

    def __init__(self, in_dim, n_outputs):
        super().__init__(in_dim, n_outputs)
        self.linear = nn.Linear(in_dim, n_outputs)

    def forward(self, fused):
        return self.linear(fused).squeeze(-1)


class DefaultBeyondItsRange(Head):
    name = "beyond"

    def __init__(self, in_dim, n_outputs, *, dropout: Annotated[float, Range(0.0, 0.5)] = 0.7):
        super().__init__(in_dim, n_outputs)
        self.layers = nn.Sequential(nn.Dropout(dropout), nn.Linear(in_dim, n_outputs))

    def forward(self, fused):
        return self.layers(fused)


class NeverReadsItsDropout(LinearHead):
    name = "without"

    def __init__(self, in_dim, n_outputs, *, dropout: Annotated[float, Range(0.0, 0.5)] = 0.1):
        super().__init__(in_dim, n_outputs)


class SeedsItsWeights(LinearHead):
    name = "seeds"

    def __init__(self, in_dim, n_outputs):
        torch.manual_seed(0)
        super().__init__(in_dim, n_outputs)


class DeadByAZero(Head):
    name = "dead"

    def __init__(self, in_dim, n_outputs):
        super().__init__(in_dim, n_outputs)
        self.linear = nn.Linear(in_dim, n_outputs)
        self.query, self.key = (nn.Linear(in_dim, in_dim) for _ in range(2))

    def forward(self, fused):
        return self.linear(fused + 0 * self.query(self.key(fused)))


class AttendsToOneKey(DeadByAZero):
    def forward(self, fused):
        logit = (self.query(fused) * self.key(fused)).sum(1, keepdim=True)
        return self.linear(logit.softmax(-1) * fused)


class SumOfSquares(Objective):
    name = "sum-of-squares"
    targets = frozenset({"regression"})

    def forward(self, outputs, target):
        return (outputs.scores - target).square().mean()


class PerSample(SumOfSquares):
    def forward(self, outputs, target):
        return (outputs.scores - target).square().mean(1)


class Uphill(SumOfSquares):
    def forward(self, outputs, target):
        return -super().forward(outputs, target)


class FirstRowCountsTwice(SumOfSquares):
    def forward(self, outputs, target):
        return super().forward(outputs, target) + (outputs.scores[0] - target[0]).square().mean()


class SaysItNeedsUnimodal(SumOfSquares):
    needs_unimodal = True


class DividesByNothing(SumOfSquares):
    def forward(self, outputs, target):
        present = outputs.features["b"].present
        errors = (outputs.scores - target).square().mean(1)
        return (errors * present).sum() / present.sum()


class UnseededCorruption(SumOfSquares):
    """Noise from a generator that no seed of ours reaches."""

    rng = np.random.default_rng()

    def forward(self, outputs, target):
        noise = torch.from_numpy(self.rng.normal(size=tuple(target.shape))).to(target)
        return super().forward(outputs, target + 0.01 * noise * self.training)


class UnseededFromTheSecondEpoch(Objective):
    """Of classes: a model that is perfect after the first would not come to it."""

    name = "unseeded-late"
    targets = frozenset({"classification"})
    rng, epoch = np.random.default_rng(), 0

    def begin_epoch(self, epoch, model, course):
        self.epoch = epoch

    def forward(self, outputs, target):
        noise = self.rng.normal() if self.epoch else 0.0
        return nn.functional.cross_entropy(outputs.scores * (1 + 0.1 * noise), target)


class ScalesTheDataInPlace(SumOfSquares):
    def begin(self, model, course):
        course.train.columns["a"].values.mul_(0.5)


class FailsAsPruned(SumOfSquares):
    """A failure that says it was pruned: nobody will look for the bug."""

    def forward(self, outputs, target):
        if not outputs.features["b"].present.any():
            raise optuna.TrialPruned
        return super().forward(outputs, target)


class SeedsWhenItIsMade(SumOfSquares):
    def __init__(self, task, dims, fused_dim):
        torch.manual_seed(0)
        super().__init__(task, dims, fused_dim)


class SeedsEachEpoch(SumOfSquares):
    def begin_epoch(self, epoch, model, course):
        torch.manual_seed(epoch)


class SeedsEachStep(SumOfSquares):
    def step(self, model, batch, update):
        torch.manual_seed(0)
        return super().step(model, batch, update)


class DividesByItsWeight(SumOfSquares):
    def __init__(self, task, dims, fused_dim, *, weight: Annotated[float, Range(0.0, 1.0)] = 0.5):
        super().__init__(task, dims, fused_dim)
        self.weight = weight

    def forward(self, outputs, target):
        return super().forward(outputs, target) / self.weight


class HuberLater(SumOfSquares):
    """Large errors count less, from an epoch on."""

    def __init__(
        self,
        task,
        dims,
        fused_dim,
        *,
        warmup: Annotated[int, Range(1, 5)] = 3,
        beta: Annotated[float, Range(0.1, 1.0)] = 0.5,
    ):
        super().__init__(task, dims, fused_dim)
        self.warmup, self.beta, self.epoch = warmup, beta, 0

    def begin_epoch(self, epoch, model, course):
        self.epoch = epoch

    def forward(self, outputs, target):
        if self.epoch < self.warmup:
            return super().forward(outputs, target)
        return nn.functional.smooth_l1_loss(outputs.scores, target, beta=self.beta)


class NeverEndsItsWarmUp(HuberLater):
    def begin_epoch(self, epoch, model, course):
        pass
