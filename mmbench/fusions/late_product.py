"""Late fusion: the product of what each modality's own head holds probable.

The product rule of Kittler, Hatef, Duin & Matas, "On Combining Classifiers", IEEE TPAMI 1998:
modalities that are independent given the class have
``p(c | x_1, …, x_M) ∝ p(c)^(1 − M) ∏_m p(c | x_m)``.
Differs from the paper: the prior p(c) is trained, or uniform, not counted.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions._decisions import decisions
from mmbench.fusions._projection import presence
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice
from mmbench.types import ALL_TARGETS, Features


class LateProductFusion(Fusion):
    """``z = Σ_m s_m + (1 − M) log p`` over the M modalities that are present.

    The product is taken in log space, and a logit is the log of a posterior up to a constant that
    normalising removes: so z are the logits of the product, both of softmax posteriors (exclusive
    classes) and of sigmoid ones (labels). With no modality present the outputs are the log prior.
    Of numbers, which are no logits, the sum is an additive model: each modality adds its part.
    """

    name = "late-product"
    offered = "named"
    capabilities = Capabilities(level="decision", handles_missing=True, targets=ALL_TARGETS)

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        prior: Annotated[str, Choice("uniform", "learned")] = "uniform",
    ) -> None:
        super().__init__(dims)
        self.out_dim = next(iter(dims.values()))
        self.log_prior = nn.Parameter(torch.zeros(self.out_dim), requires_grad=prior == "learned")

    def forward(self, features: Features) -> Tensor:
        present = presence(features, self.dims)  # (batch, modality)
        scores = decisions(features, self.dims, present)  # (batch, modality, n_outputs)
        return scores.sum(dim=1) + (1 - present.sum(dim=1, keepdim=True)) * self.log_prior


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [LateProductFusion]
