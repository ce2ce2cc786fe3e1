"""Refiner fusion network: each modality can be read off the fused vector.

Sankaran, Yang & Lim, "Multimodal Fusion Refiner Networks", 2021 (https://arxiv.org/abs/2104.03435).
With ``similarity`` also its multi-similarity loss on fused vectors of labelled rows (Wang, Han,
Huang, Dong & Scott, CVPR 2019, https://arxiv.org/abs/1904.06627).
Differs from the paper: the refiner rebuilds the encoders' pooled features, fixed, whatever the
encoder; it is trained with the task, without a phase on unlabelled data before. The
multi-similarity loss takes all pairs of a batch, without mining. The graph that the paper finds
among fused vectors follows from these losses: it gives no further regulariser.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbench.contracts import Objective, Outputs
from mmbench.errors import Incompatible, InvalidParameter
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.objectives._pooled import perceptron, pooled
from mmbench.objectives._present import mean_over
from mmbench.space import Range
from mmbench.types import Task

ALPHA, BETA, MARGIN = 2.0, 50.0, 1.0
"""Of the multi-similarity loss: sharpness for positives, for negatives, and where they part."""


class RefNetObjective(Objective):
    """``L = L(f(x), y) + weight · Σ_m mean of (1 − cos(R_m(z), x_m)) + similarity · MS(z, y)``.

    R_m is the refiner of modality m, z the fused vector; a mean over the rows that have m.
    ``similarity``, for classes only, adds the multi-similarity loss; 0.1 is a start.
    """

    name = "refnet"
    offered = "named"

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        weight: Annotated[float, Range(0.01, 1.0, log=True)] = 0.1,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
        similarity: float = 0.0,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        if not similarity >= 0:
            raise InvalidParameter(f"refnet.similarity is {similarity}; allowed: 0 or more.")
        if similarity and task.target != "classification":
            raise Incompatible(
                f"refnet.similarity={similarity} compares rows by their class, but the target is "
                f"{task.target}. Leave it at 0."
            )
        self.weight, self.similarity = weight, similarity
        self.refine = nn.ModuleDict({m: perceptron(fused_dim, d, width) for m, d in dims.items()})

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        loss = supervised_loss(self.task.target, outputs.scores, target).mean()
        for modality, refine in self.refine.items():
            encoded = outputs.features[modality]
            likeness = F.cosine_similarity(refine(outputs.fused), pooled(encoded).detach(), dim=-1)
            loss = loss + self.weight * mean_over(1 - likeness, encoded.present)
        if self.similarity:
            loss = loss + self.similarity * multi_similarity(outputs.fused, target)
        return loss


def multi_similarity(vectors: Tensor, classes: Tensor) -> Tensor:
    """Rows of one class are drawn together, others apart, the more the worse they are; a scalar.

    The mean over rows of ``log(1 + Σ_p e^(−α (s_p − λ))) / α + log(1 + Σ_n e^(β (s_n − λ))) / β``,
    s the cosine with another row, p the rows of the same class and n those of another.
    """
    units = F.normalize(vectors, dim=-1, eps=1e-6)
    similarity = units @ units.T - MARGIN  # (batch, batch)
    same = classes.unsqueeze(0) == classes.unsqueeze(1)
    others = same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
    near = _log_one_plus_sum(-ALPHA * similarity, others) / ALPHA
    far = _log_one_plus_sum(BETA * similarity, ~same) / BETA
    return (near + far).mean()


def _log_one_plus_sum(exponents: Tensor, kept: Tensor) -> Tensor:
    """``log(1 + Σ_j e^x_ij)`` over j that are kept: (batch,)."""
    masked = exponents.masked_fill(~kept, -torch.inf)
    return torch.cat([torch.zeros_like(masked[:, :1]), masked], dim=1).logsumexp(dim=1)


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [RefNetObjective]
