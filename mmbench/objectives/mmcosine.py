"""MMCosine: neither large features nor large weights of a modality give it a louder voice.

Xu, Feng, Zhang & Hu, "MMCosine: Multi-Modal Cosine Loss Towards Balanced Audio-Visual Fine-Grained
Learning", ICASSP 2023 (https://arxiv.org/abs/2303.05338).
"""

from torch import Tensor

from mmbench.contracts import Objective, Outputs
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss


class MMCosineObjective(Objective):
    """Cross-entropy of ``z = s Σ_m cos(W_m, x_m)``.

    The paradigm is a combination: the head ``cosine`` on each modality gives ``s cos(W_m, x_m)``,
    the fusion ``late-average`` combines them, and the loss itself is the plain one. The fusion is a
    mean over the M modalities that are present, so a scale of M s in the head is s in the formula.
    """

    name = "mmcosine"
    targets = frozenset({"classification"})
    requires = {"fusion": ("late-average",), "head": ("cosine",)}  # noqa: RUF012

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        return supervised_loss(self.task.target, outputs.scores, target).mean()


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [MMCosineObjective]
