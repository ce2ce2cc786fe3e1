"""Contrastive alignment: what belongs together is near, what does not is far.

InfoNCE of van den Oord, Li & Vinyals, "Representation Learning with Contrastive Predictive Coding",
2018 (https://arxiv.org/abs/1807.03748), symmetric and with a learned temperature as in Radford et
al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021
(https://arxiv.org/abs/2103.00020).
Differs from the paper: it is added to the task's loss. Rows that share a value (ten questions about
one image) are not negatives of each other: each of them is a true match. The temperature is kept
between 0.01 and 1 by a sigmoid instead of clipping.
"""

from collections.abc import Mapping
from typing import Annotated

from torch import Tensor, nn
from torch.nn import functional as F

from mmbench.contracts import Objective, Outputs
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.objectives._contrast import Temperature, info_nce, unlike
from mmbench.objectives._pooled import pooled
from mmbench.objectives._present import pairs
from mmbench.space import Choice, Range
from mmbench.types import Encoded, Task


class ContrastiveObjective(Objective):
    """``L = L(f(x), y) + weight · Σ_{m<n} ½ (NCE(S) + NCE(Sᵀ))``, ``S_ij = cos(u_i, v_j) / τ``.

    u and v are linear projections of the pooled features of m and n. NCE is over the rows that have
    both; two rows with equal features of m or of n are left out of each other's sum. With
    ``learned`` the temperature τ is trained from ``temperature`` on.
    """

    name = "contrastive"
    acts_on_encoders = True
    offered = "named"
    min_modalities = 2

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        weight: Annotated[float, Range(0.01, 1.0, log=True)] = 0.1,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
        temperature: Annotated[float, Range(0.02, 0.5, log=True)] = 0.07,
        learned: Annotated[bool, Choice(True, False)] = True,  # noqa: FBT003
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.weight = weight
        paired = dims if len(dims) > 1 else {}
        self.project = nn.ModuleDict({m: nn.Linear(d, width) for m, d in paired.items()})
        self.temperature = Temperature(temperature, learned=learned and bool(paired))

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        loss = supervised_loss(self.task.target, outputs.scores, target).mean()
        for one, other in pairs(self.modalities):
            loss = loss + self.weight * self.alignment(outputs.features, one, other)
        return loss

    def alignment(self, features: Mapping[str, Encoded], one: str, other: str) -> Tensor:
        """Symmetric InfoNCE of two modalities, a scalar."""
        x, y = pooled(features[one]), pooled(features[other])
        both = features[one].present & features[other].present
        distinct = unlike(x) & unlike(y)
        u, v = self.embedded(one, x), self.embedded(other, y)
        similarity = u @ v.T / self.temperature()  # (batch, batch)
        there, back = (info_nce(s, both, distinct) for s in (similarity, similarity.T))
        return (there + back) / 2

    def embedded(self, modality: str, vectors: Tensor) -> Tensor:
        """Projected (batch, width), of length one."""
        return F.normalize(self.project[modality](vectors), dim=-1, eps=1e-6)


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [ContrastiveObjective]
