"""Quality of yes-or-no decisions: each class against the rest, or each label apart.

One formula for both kinds of target. Of classes, ``scores`` (rows, classes) are logits and
``target`` (rows,); the highest score decides, and the evidence for a class is its log odds. Of
labels, ``target`` (rows, labels) holds 0 and 1, and a score above 0 decides.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from mmbench.contracts import Metric
from mmbench.hookspecs import hookimpl
from mmbench.metrics._checks import check_scores
from mmbench.metrics.classification import log_odds
from mmbench.types import TargetKind

EITHER: frozenset[TargetKind] = frozenset({"classification", "multilabel"})


class MicroF1(Metric):
    """F1 of all decisions together; 0 if no label is both there and predicted.

    Of classes it equals accuracy: every wrong row is one false positive and one false negative.
    """

    name = "micro-f1"
    best, worst = 1.0, 0.0
    targets = EITHER

    def __call__(self, scores: Tensor, target: Tensor) -> float:
        from sklearn.metrics import f1_score

        check_scores(self.name, scores, target)
        decided = decisions(scores, target).flatten()
        return float(f1_score(truth(scores, target).flatten(), decided, zero_division=0))

    def summands(self, scores: Tensor, target: Tensor) -> Tensor:
        """(rows, 2): twice the labels there and predicted; those there plus those predicted."""
        there, decided = truth(scores, target), decisions(scores, target)
        return torch.stack([2 * (there & decided).sum(1), there.sum(1) + decided.sum(1)], dim=1)

    def of_sums(self, sums: Tensor) -> Tensor:
        return sums[..., 0] / sums[..., 1].clamp(min=1)


class AveragePrecision(Metric):
    """Area under precision against recall, the mean over outputs that occur; 0 if none does."""

    name = "average-precision"
    best, worst = 1.0, 0.0
    targets = EITHER

    def __call__(self, scores: Tensor, target: Tensor) -> float:
        from sklearn.metrics import average_precision_score

        check_scores(self.name, scores, target)
        pairs = zip(truth(scores, target).T, evidence(scores, target).T, strict=True)
        figures = [float(average_precision_score(t, s)) for t, s in pairs if t.any()]
        return sum(figures) / len(figures) if figures else 0.0


def truth(scores: Tensor, target: Tensor) -> Tensor:
    """(rows, outputs) booleans: which classes or labels are true."""
    return target > 0 if target.ndim == 2 else one_hot(target.long(), scores.shape[1]) > 0


def decisions(scores: Tensor, target: Tensor) -> Tensor:
    """(rows, outputs) booleans: which are predicted; exactly one of a row's classes."""
    return scores > 0 if target.ndim == 2 else one_hot(scores.argmax(1), scores.shape[1]) > 0


def evidence(scores: Tensor, target: Tensor) -> Tensor:
    """(rows, outputs) that order the rows as the probabilities of each output do."""
    if target.ndim == 2:
        return scores
    outputs = range(scores.shape[1])
    return torch.stack([log_odds(scores.double(), k) for k in outputs], dim=1)


@hookimpl
def register_metrics() -> list[type[Metric]]:
    return [MicroF1, AveragePrecision]
