"""What is reported of CMU-MOSI and -MOSEI beside the error: sentiment from −3 to 3 as classes.

``scores`` (rows, 1) and ``target`` (rows,), not standardised: their sign means something. Of two
classes there are two conventions (Mao et al., "M-SENA", ACL 2022): ``has0`` tells negative from not
negative, on all rows; ``non0`` negative from positive, on the rows whose sentiment is not 0. F1 is
that of either class, weighted by its rows.
"""

from abc import abstractmethod

from torch import Tensor

from mmbench.contracts import Metric
from mmbench.hookspecs import hookimpl
from mmbench.metrics._checks import check_scores
from mmbench.metrics.regression import REGRESSION


class SentimentMetric(Metric):
    targets = REGRESSION
    everywhere = False
    best, worst = 1.0, 0.0

    def __call__(self, scores: Tensor, target: Tensor) -> float:
        check_scores(self.name, scores, target)
        return self.measure(scores.double().flatten(), target.double().flatten())

    @abstractmethod
    def measure(self, predicted: Tensor, true: Tensor) -> float:
        """The figure, both (rows,)."""


class Accuracy7(SentimentMetric):
    """Share of rows whose sentiment, in whole steps from −3 to 3, is predicted."""

    name = "acc-7"
    end = 3

    def measure(self, predicted: Tensor, true: Tensor) -> float:
        return self._steps(predicted).eq(self._steps(true)).double().mean().item()

    def _steps(self, values: Tensor) -> Tensor:
        return values.clamp(-self.end, self.end).round()


class Accuracy5(Accuracy7):
    """The same in steps from −2 to 2."""

    name = "acc-5"
    end = 2


class Accuracy2(SentimentMetric):
    """Share of rows told rightly to be negative or not."""

    name = "acc-2-has0"

    def measure(self, predicted: Tensor, true: Tensor) -> float:
        return (predicted >= 0).eq(true >= 0).double().mean().item()


class Accuracy2Non0(SentimentMetric):
    """Share of rows with a sentiment told rightly to be negative or positive; 0 without any."""

    name = "acc-2-non0"

    def measure(self, predicted: Tensor, true: Tensor) -> float:
        told = (predicted > 0).eq(true > 0)[true != 0]
        return told.double().mean().nan_to_num().item()


class F1(SentimentMetric):
    """Of negative or not, weighted."""

    name = "f1-has0"

    def measure(self, predicted: Tensor, true: Tensor) -> float:
        return _weighted_f1(predicted >= 0, true >= 0)


class F1Non0(SentimentMetric):
    """Of negative or positive, weighted, on rows with a sentiment; 0 without any."""

    name = "f1-non0"

    def measure(self, predicted: Tensor, true: Tensor) -> float:
        told = true != 0
        return _weighted_f1(predicted[told] > 0, true[told] > 0)


def _weighted_f1(predicted: Tensor, true: Tensor) -> float:
    from sklearn.metrics import f1_score

    if not len(true):
        return 0.0
    return float(f1_score(true, predicted, average="weighted", zero_division=0))


@hookimpl
def register_metrics() -> list[type[Metric]]:
    return [Accuracy2, Accuracy2Non0, Accuracy5, Accuracy7, F1, F1Non0]
