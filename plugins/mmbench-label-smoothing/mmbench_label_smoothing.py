"""Cross-entropy with smoothed labels.

Szegedy, Vanhoucke, Ioffe, Shlens & Wojna, "Rethinking the Inception Architecture for Computer
Vision", CVPR 2016 (https://arxiv.org/abs/1512.00567), section 7.
"""

from collections.abc import Mapping
from typing import Annotated

from torch import Tensor
from torch.nn.functional import cross_entropy

from mmbench.api import Objective, Outputs, Range, Task, hookimpl

mmbench_api = ">=1"


class LabelSmoothing(Objective):
    """``−Σ_k q_k log p_k`` with ``q = (1 − ε) · one-hot + ε / C``: no class is ever impossible."""

    name = "label-smoothing"
    targets = frozenset({"classification"})

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        epsilon: Annotated[float, Range(0.01, 0.3, log=True)] = 0.1,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.epsilon = epsilon

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        return cross_entropy(outputs.scores, target, label_smoothing=self.epsilon)


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [LabelSmoothing]
