"""Agreement with the target beyond chance.

Cohen, "A Coefficient of Agreement for Nominal Scales", Educational and Psychological Measurement
20(1), 1960. What always predicts the largest class has an accuracy of its share, and a kappa of 0.
"""

from torch import Tensor

from mmbench.api import Metric, hookimpl

mmbench_api = ">=1"


class CohensKappa(Metric):
    """``κ = (p_o − p_e) / (1 − p_e)``: observed agreement, and that of chance with equal margins.

    0 where it is not defined: all rows are of one class, and predicted as that.
    """

    name = "cohens-kappa"
    targets = frozenset({"classification"})
    best, worst = 1.0, -1.0

    def __call__(self, scores: Tensor, target: Tensor) -> float:
        from sklearn.metrics import cohen_kappa_score

        predicted = scores.argmax(dim=1)
        if len(predicted.unique()) == len(target.unique()) == 1:
            return 0.0
        return float(cohen_kappa_score(target.numpy(), predicted.numpy()))


@hookimpl
def register_metrics() -> list[type[Metric]]:
    return [CohensKappa]
