"""Multimodal factorisation: the fused vector and a private factor must rebuild each modality.

Tsai, Liang, Zadeh, Morency & Salakhutdinov, "Learning Factorized Multimodal Representations", ICLR
2019 (https://arxiv.org/abs/1806.06176).
Differs from the paper: decoders rebuild the encoders' pooled features, normalised and fixed, not
raw inputs, so that any encoder will do. The discriminative factor is the fused vector itself, the
decoder joins both factors at once, and the factors are not matched to a Gaussian prior (a maximum
mean discrepancy there): nothing is sampled from it here.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Objective, Outputs
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.objectives._pooled import perceptron, pooled, reconstruction
from mmbench.space import Range
from mmbench.types import Task


class MFMObjective(Objective):
    """``L = L(f(x), y) + weight · Σ_m mean of (x_m − D_m([P_m(x_m); z]))²``, z the fused vector.

    The private factor P_m(x_m) has ``private`` units, few, so that z has to hold the rest. Means
    are over units and over the rows that have m.
    """

    name = "mfm"
    offered = "named"

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        weight: Annotated[float, Range(0.01, 1.0, log=True)] = 0.1,
        private: Annotated[int, Range(2, 32, log=True)] = 8,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.weight = weight
        self.private = nn.ModuleDict({m: perceptron(d, private, width) for m, d in dims.items()})
        self.decode = nn.ModuleDict(
            {m: perceptron(private + fused_dim, d, width) for m, d in dims.items()}
        )

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        loss = supervised_loss(self.task.target, outputs.scores, target).mean()
        for modality, decode in self.decode.items():
            encoded = outputs.features[modality]
            private = self.private[modality](pooled(encoded))
            decoded = decode(torch.cat([private, outputs.fused], dim=-1))
            loss = loss + self.weight * reconstruction(decoded, encoded)
        return loss


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [MFMObjective]
