"""Deep canonical correlation: what the modalities say is as correlated as it can be.

Andrew, Arora, Bilmes & Livescu, "Deep Canonical Correlation Analysis", ICML 2013.
Differs from the paper: it is added to the task's loss, and each step uses a minibatch, not the
whole training part. The projections are standardised first, which changes no correlation but makes
the ridge relative to their scale. The inverse roots of the covariances are those of Cholesky: they
give the same singular values as the symmetric roots, without an eigendecomposition, whose gradient
divides by differences of eigenvalues; nor does the gradient of the sum of singular values (U Vᵀ)
divide by any.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Objective, Outputs
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.objectives._pooled import pooled
from mmbench.objectives._present import pairs
from mmbench.space import Range
from mmbench.types import Task


class DeepCCAObjective(Objective):
    """``L = L(f(x), y) − weight · Σ_{m<n} ‖Σ_mm^-½ Σ_mn Σ_nn^-½‖_tr``.

    Σ are covariances over the rows that have both, of linear projections of the pooled features to
    ``width`` units; ``ridge`` times the identity is added to Σ_mm. The trace norm is the sum of the
    canonical correlations, 0 to ``width``. Of at most ``width`` rows any two projections are fully
    correlated: such a batch says nothing and is left out.
    """

    name = "deep-cca"
    acts_on_encoders = True
    offered = "named"
    min_modalities = 2

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        weight: Annotated[float, Range(0.001, 0.3, log=True)] = 0.02,
        width: Annotated[int, Range(2, 16, log=True)] = 8,
        ridge: Annotated[float, Range(1e-4, 0.1, log=True)] = 1e-2,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.weight, self.width, self.ridge = weight, width, ridge
        paired = dims if len(dims) > 1 else {}
        self.project = nn.ModuleDict(
            {m: nn.Linear(d, width, bias=False) for m, d in paired.items()}
        )

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        loss = supervised_loss(self.task.target, outputs.scores, target).mean()
        features = outputs.features
        for one, other in pairs(self.modalities):
            both = features[one].present & features[other].present
            u, v = (self.project[m](pooled(features[m])) for m in (one, other))
            total = total_correlation(u, v, both, self.ridge)
            loss = loss - self.weight * torch.where(both.sum() > self.width, total, 0.0)
        return loss


def total_correlation(one: Tensor, other: Tensor, rows: Tensor, ridge: float) -> Tensor:
    """The sum of the canonical correlations of (batch, k) and (batch, k) over ``rows`` (batch,)."""
    u, v = standardised(one, rows), standardised(other, rows)
    count = rows.sum().clamp(min=1)
    whiten_u, whiten_v = (cholesky(x.T @ x / count, ridge) for x in (u, v))
    half = torch.linalg.solve_triangular(whiten_u, u.T @ v / count, upper=False)
    whitened = torch.linalg.solve_triangular(whiten_v, half.T, upper=False)  # (k, k), transposed
    correlations: Tensor = torch.linalg.svdvals(whitened)
    return correlations.sum()


def standardised(vectors: Tensor, rows: Tensor) -> Tensor:
    """Mean zero and variance one over ``rows``, zero elsewhere; a constant unit is zero."""
    count, kept = rows.sum().clamp(min=1), rows.unsqueeze(1)
    centred = (vectors - (vectors * kept).sum(dim=0) / count) * kept
    return centred * (centred.square().sum(dim=0) / count + 1e-8).rsqrt()


def cholesky(covariance: Tensor, ridge: float) -> Tensor:
    """The lower factor of ``covariance + ridge · 1``."""
    identity = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    # without its check, which would wait for the device: the ridge makes it positive definite
    factor: Tensor = torch.linalg.cholesky_ex(covariance + ridge * identity).L
    return factor


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [DeepCCAObjective]
