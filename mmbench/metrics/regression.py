"""Quality of predicted numbers; ``scores`` (rows, outputs), ``target`` (rows,) or (rows, outputs).

Errors are in the target's units. With several outputs, each figure is the mean over outputs.
"""

from abc import abstractmethod

import torch
from torch import Tensor

from mmbench.contracts import Metric
from mmbench.hookspecs import hookimpl
from mmbench.metrics._checks import check_scores
from mmbench.types import TargetKind

REGRESSION: frozenset[TargetKind] = frozenset({"regression"})


ROUNDING = 1e-9
"""Of a difference of sums, relative to them: less is none."""


def columns(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both as (rows, outputs) in double precision."""
    predicted = scores.double().reshape(len(scores), -1)
    return predicted, target.double().reshape(predicted.shape)


class NumberMetric(Metric):
    targets = REGRESSION

    def __call__(self, scores: Tensor, target: Tensor) -> float:
        check_scores(self.name, scores, target)
        predicted, true = columns(scores, target)
        figures = [self.measure(*pair) for pair in zip(predicted.T, true.T, strict=True)]
        return sum(figures) / len(figures)

    @abstractmethod
    def measure(self, predicted: Tensor, true: Tensor) -> float:
        """The figure of one output, both (rows,)."""


class MeanAbsoluteError(NumberMetric):
    name = "mae"
    best = 0.0
    higher_is_better = False

    def measure(self, predicted: Tensor, true: Tensor) -> float:
        return (predicted - true).abs().mean().item()

    def per_row(self, scores: Tensor, target: Tensor) -> Tensor:
        """(rows,) the mean over outputs of each row."""
        predicted, true = columns(scores, target)
        return (predicted - true).abs().mean(1)


class RootMeanSquaredError(NumberMetric):
    name = "rmse"
    best = 0.0
    higher_is_better = False

    def measure(self, predicted: Tensor, true: Tensor) -> float:
        return (predicted - true).square().mean().sqrt().item()

    def summands(self, scores: Tensor, target: Tensor) -> Tensor:
        """(rows, outputs + 1): squared errors, and ones."""
        predicted, true = columns(scores, target)
        return torch.cat([(predicted - true).square(), torch.ones_like(true[:, :1])], dim=1)

    def of_sums(self, sums: Tensor) -> Tensor:
        return (sums[..., :-1] / sums[..., -1:]).sqrt().mean(-1)


class R2(NumberMetric):
    """Share of the target's variance that is explained; for a constant target 1 or 0: exact or not.

    One row has no variance and counts as a constant target.
    """

    name = "r2"
    best = 1.0

    def measure(self, predicted: Tensor, true: Tensor) -> float:
        from sklearn.metrics import r2_score

        if len(true) < 2:
            return float(torch.equal(predicted, true))
        return float(r2_score(true, predicted, force_finite=True))

    def summands(self, scores: Tensor, target: Tensor) -> Tensor:
        """(rows, 3 × outputs + 1): squared errors, targets about their mean, squared, and ones."""
        predicted, true = columns(scores, target)
        about = true - true.mean(0)  # large targets that vary little lose no digits
        terms = [(predicted - true).square(), about, about.square(), torch.ones_like(true[:, :1])]
        return torch.cat(terms, dim=1)

    def of_sums(self, sums: Tensor) -> Tensor:
        """NaN where the target does not vary."""
        left, total, squares = sums[..., :-1].tensor_split(3, dim=-1)
        varied = squares - total.square() / sums[..., -1:]
        explained = 1 - left / varied
        return explained.where(varied > ROUNDING * squares, torch.nan).mean(-1)


class Pearson(NumberMetric):
    """Linear correlation; 0 if the predictions or the target are constant."""

    name = "pearson"
    best, worst = 1.0, -1.0

    def measure(self, predicted: Tensor, true: Tensor) -> float:
        return correlation(predicted, true)


class Spearman(NumberMetric):
    """Correlation of ranks, ties at their mean rank; 0 if either side is constant."""

    name = "spearman"
    best, worst = 1.0, -1.0

    def measure(self, predicted: Tensor, true: Tensor) -> float:
        from scipy.stats import rankdata  # type: ignore[import-untyped]

        ranks = (torch.from_numpy(rankdata(side.numpy())) for side in (predicted, true))
        return correlation(*ranks)


def correlation(a: Tensor, b: Tensor) -> float:
    if (a == a[0]).all() or (b == b[0]).all():
        return 0.0
    return torch.corrcoef(torch.stack([a, b]))[0, 1].nan_to_num().item()


@hookimpl
def register_metrics() -> list[type[Metric]]:
    return [MeanAbsoluteError, RootMeanSquaredError, R2, Pearson, Spearman]
