"""Quality of predicted labels; ``scores`` (rows, labels) are logits, ``target`` the same with 0, 1.

A label is predicted where its probability is above one half. What is also a figure of classes lives
in ``decisions``.
"""

from abc import abstractmethod

from torch import Tensor

from mmbench.contracts import Metric
from mmbench.hookspecs import hookimpl
from mmbench.metrics._checks import check_scores
from mmbench.types import TargetKind

MULTILABEL: frozenset[TargetKind] = frozenset({"multilabel"})


class LabelMetric(Metric):
    targets = MULTILABEL

    def __call__(self, scores: Tensor, target: Tensor) -> float:
        check_scores(self.name, scores, target)
        return float(self.measure(scores, target > 0))

    @abstractmethod
    def measure(self, scores: Tensor, target: Tensor) -> float:
        """The figure; both (rows, labels), the target as booleans."""


class MacroF1Multilabel(LabelMetric):
    """Mean F1 over the labels that occur in the target or in the predictions; 0 if none does."""

    name = "macro-f1-multilabel"
    best, worst = 1.0, 0.0

    def measure(self, scores: Tensor, target: Tensor) -> float:
        from sklearn.metrics import f1_score

        predicted = scores > 0
        pairs = zip(target.T, predicted.T, strict=True)
        figures = [float(f1_score(t, p)) for t, p in pairs if t.any() or p.any()]
        return sum(figures) / len(figures) if figures else 0.0


@hookimpl
def register_metrics() -> list[type[Metric]]:
    return [MacroF1Multilabel]
