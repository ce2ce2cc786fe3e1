"""MMIM: keep the mutual information between modalities, and between them and the fused vector.

Han, Chen & Poria, "Improving Multimodal Fusion with Hierarchical Mutual Information Maximization
for Multimodal Sentiment Analysis", EMNLP 2021 (https://arxiv.org/abs/2109.00412).
Differs from the paper: all ordered pairs of modalities are bounded, not only those from the text.
The modality predicted is fixed and normalised, so that its entropy is a constant and the estimate
by class-wise covariances is left out; each encoder is taught as the one that predicts. The
Gaussian's log-determinant is kept, which the authors' code drops, and its log-variances are within
±5. q is trained in the same step as the rest, not in a stage of its own. Likelihoods are a mean
over units. Rows with equal features are not negatives of each other.
"""

from collections.abc import Mapping
from itertools import permutations
from typing import Annotated

from torch import Tensor, nn
from torch.nn import functional as F

from mmbench.contracts import Objective, Outputs
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.objectives._contrast import info_nce, unlike
from mmbench.objectives._pooled import normalised, perceptron, pooled
from mmbench.objectives._present import mean_over
from mmbench.space import Range
from mmbench.types import Features, Task

LARGEST_LOG_VARIANCE = 5.0


class MMIMObjective(Objective):
    """``L = L(f(x), y) − pairwise · Σ_{m≠n} BA(x_m; x_n) + fused · Σ_m CPC(z; x_m)``.

    BA is the bound of Barber and Agakov on the mutual information, up to the entropy of x_n: the
    mean of ``log N(x_n; μ(x_m), σ²(x_m))`` over units and the rows that have both. CPC is InfoNCE
    with ``s_ij = cos(G_m(z_i), x_mj)`` over the rows that have m.
    """

    name = "mmim"
    offered = "named"

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        pairwise: Annotated[float, Range(0.01, 0.5, log=True)] = 0.05,
        fused: Annotated[float, Range(0.01, 0.5, log=True)] = 0.1,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.pairwise, self.fused = pairwise, fused
        self.gaussian = nn.ModuleDict(
            {
                f"{m} to {n}": perceptron(dims[m], 2 * dims[n], width)
                for m, n in permutations(dims, 2)
            }
        )
        self.predict = nn.ModuleDict({m: nn.Linear(fused_dim, d) for m, d in dims.items()})

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        loss = supervised_loss(self.task.target, outputs.scores, target).mean()
        for source, goal in permutations(self.modalities, 2):
            loss = loss - self.pairwise * self.likelihood(outputs.features, source, goal)
        for modality in self.modalities:
            loss = loss + self.fused * self.prediction(outputs, modality)
        return loss

    def likelihood(self, features: Features, source: str, goal: str) -> Tensor:
        """BA of one modality by another, a scalar, without ``½ log 2π`` too."""
        gaussian = self.gaussian[f"{source} to {goal}"](pooled(features[source]))
        mean, spread = gaussian.chunk(2, dim=-1)
        log_variance = LARGEST_LOG_VARIANCE * (spread / LARGEST_LOG_VARIANCE).tanh()
        distance = (normalised(features[goal]).detach() - mean).square()
        likelihoods = -0.5 * (distance * (-log_variance).exp() + log_variance).mean(dim=-1)
        return mean_over(likelihoods, features[source].present & features[goal].present)

    def prediction(self, outputs: Outputs, modality: str) -> Tensor:
        """CPC: which of the batch's features belong to a fused vector, a scalar."""
        encoded = outputs.features[modality]
        vectors = pooled(encoded)
        expected = F.normalize(self.predict[modality](outputs.fused), dim=-1, eps=1e-6)
        similarity = expected @ F.normalize(vectors, dim=-1, eps=1e-6).T  # (batch, batch)
        return info_nce(similarity, encoded.present, unlike(vectors))


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [MMIMObjective]
