"""Quality of class predictions; ``scores`` (rows, classes) are logits, ``target`` (rows,) classes.

Averages over classes ("macro") take the classes that occur in the target or in the predictions.
"""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbench.contracts import Metric
from mmbench.hookspecs import hookimpl
from mmbench.metrics._checks import check_scores
from mmbench.types import TargetKind

CLASSIFICATION: frozenset[TargetKind] = frozenset({"classification"})
CALIBRATION_BINS = 15
MACRO: dict[str, Any] = {"average": "macro", "zero_division": 0}


class ClassMetric(Metric):
    targets = CLASSIFICATION

    def __call__(self, scores: Tensor, target: Tensor) -> float:
        check_scores(self.name, scores, target)
        return float(self.measure(scores.double(), target))

    @abstractmethod
    def measure(self, scores: Tensor, target: Tensor) -> float:
        """The figure, of finite scores for at least one row."""


class Accuracy(ClassMetric):
    """Share of rows whose highest score is the target's."""

    name = "accuracy"
    best, worst = 1.0, 0.0

    def measure(self, scores: Tensor, target: Tensor) -> float:
        return self.per_row(scores, target).mean().item()

    def per_row(self, scores: Tensor, target: Tensor) -> Tensor:
        """(rows,): 1 where right, 0 where wrong."""
        return (scores.argmax(1) == target).double()


class BalancedAccuracy(ClassMetric):
    """Mean recall over the classes that occur in the target."""

    name = "balanced-accuracy"
    best, worst = 1.0, 0.0

    def measure(self, scores: Tensor, target: Tensor) -> float:
        from sklearn.metrics import recall_score

        return recall_score(  # type: ignore[no-any-return]
            target, scores.argmax(1), labels=target.unique(), average="macro", zero_division=0
        )


class MacroF1(ClassMetric):
    """Mean F1 over classes; 0 for a class that is never predicted, or never right."""

    name = "macro-f1"
    best, worst = 1.0, 0.0

    def measure(self, scores: Tensor, target: Tensor) -> float:
        from sklearn.metrics import f1_score

        return f1_score(target, scores.argmax(1), **MACRO)  # type: ignore[no-any-return]


class MacroPrecision(ClassMetric):
    """Mean precision over classes; 0 for a class that is never predicted."""

    name = "macro-precision"
    best, worst = 1.0, 0.0

    def measure(self, scores: Tensor, target: Tensor) -> float:
        from sklearn.metrics import precision_score

        return precision_score(target, scores.argmax(1), **MACRO)  # type: ignore[no-any-return]


class MacroRecall(ClassMetric):
    """Mean recall over classes; 0 for one that is predicted but does not occur."""

    name = "macro-recall"
    best, worst = 1.0, 0.0

    def measure(self, scores: Tensor, target: Tensor) -> float:
        from sklearn.metrics import recall_score

        return recall_score(target, scores.argmax(1), **MACRO)  # type: ignore[no-any-return]


class AUROC(ClassMetric):
    """Area under the ROC curve of each class against the rest, by probability, averaged.

    Classes without a row, or with all rows, have no curve and are left out; 0.5 if none has one.
    """

    name = "auroc"
    best, worst = 1.0, 0.0

    def measure(self, scores: Tensor, target: Tensor) -> float:
        from sklearn.metrics import roc_auc_score

        areas = [
            float(roc_auc_score(target == k, log_odds(scores, k)))
            for k in target.unique().tolist()
            if (target != k).any()
        ]
        return sum(areas) / len(areas) if areas else 0.5


def log_odds(scores: Tensor, k: int) -> Tensor:
    """(rows,) log p / (1 − p) of class ``k``: the order of its probabilities, never saturated.

    Single precision after double: rows that tie but for rounding do tie.
    """
    others = torch.cat([scores[:, :k], scores[:, k + 1 :]], dim=1)
    return (scores[:, k] - others.logsumexp(1)).float()


class LogLoss(ClassMetric):
    """Mean negative log-likelihood of the target, in nats."""

    name = "log-loss"
    best = 0.0
    higher_is_better = False

    def measure(self, scores: Tensor, target: Tensor) -> float:
        return self.per_row(scores, target).mean().item()

    def per_row(self, scores: Tensor, target: Tensor) -> Tensor:
        """(rows,) negative log-likelihood."""
        return F.cross_entropy(scores.double(), target, reduction="none")


class ExpectedCalibrationError(ClassMetric):
    """Mean gap of confidence and accuracy in 15 equal bins of confidence, weighted by rows.

    Naeini, Cooper & Hauskrecht, AAAI 2015; Guo et al., ICML 2017.
    """

    name = "ece"
    best, worst = 0.0, 1.0
    higher_is_better = False

    def measure(self, scores: Tensor, target: Tensor) -> float:
        confidence, right, bins = confidences(scores, target)
        gaps = torch.zeros(CALIBRATION_BINS, dtype=torch.float64)
        gaps = gaps.index_add(0, bins, confidence - right)
        return (gaps.abs().sum() / len(target)).item()


def confidences(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(rows,) each: the probability of the predicted class, whether it is right, and its bin.

    Bin k of 15 holds k/15 < confidence ≤ (k + 1)/15.
    """
    confidence, predicted = scores.double().softmax(1).max(1)
    bins = (confidence * CALIBRATION_BINS).ceil().long().sub(1).clamp(0, CALIBRATION_BINS - 1)
    return confidence, (predicted == target).double(), bins


@hookimpl
def register_metrics() -> list[type[Metric]]:
    return [
        Accuracy,
        BalancedAccuracy,
        MacroF1,
        MacroPrecision,
        MacroRecall,
        AUROC,
        LogLoss,
        ExpectedCalibrationError,
    ]
