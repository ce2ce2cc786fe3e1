"""Evidential late fusion: trusted multi-view classification (TMC).

Han, Zhang, Fu & Zhou, "Trusted Multi-View Classification", ICLR 2021
(https://arxiv.org/abs/2102.02051), with Dempster's rule reduced to masses on single classes and on
the set of all classes.
Differs from the paper: only the fusion; its loss (digamma cross-entropy with an annealed
divergence) reads the target and is an objective's business.
"""

from collections.abc import Mapping
from functools import reduce

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fused, Fusion
from mmbench.fusions._decisions import EXCLUSIVE, decisions, several_outputs
from mmbench.fusions._projection import presence
from mmbench.hookspecs import hookimpl
from mmbench.types import Features

Opinion = tuple[Tensor, Tensor]
"""Belief in each class (batch, class) and uncertainty (batch, 1); together they sum to one."""


class EvidentialFusion(Fusion):
    """``z = log E[p]`` under the Dirichlet distribution that all opinions together make.

    Evidence ``e_m = softplus(s_m)`` is the opinion ``b_m = e_m / S_m``, ``u_m = C / S_m`` with
    ``S_m = C + Σ e_m``. Dempster's rule combines two opinions as

        ``b = (b_1 ⊙ b_2 + u_2 b_1 + u_1 b_2) / (1 − K)``,  ``u = u_1 u_2 / (1 − K)``,

    where the conflict K is the sum of b_1i b_2j over i ≠ j; further modalities fold in, in any
    order. The mean of the Dirichlet distribution is ``b + u / C``. A missing modality is the
    vacuous opinion, u = 1, that changes nothing: with none present all classes are equally
    probable. The reported weight is the certainty 1 − u_m. It is for exclusive classes.
    """

    name = "evidential"
    offered = "named"
    capabilities = Capabilities(level="decision", handles_missing=True, targets=EXCLUSIVE)

    def __init__(self, dims: Mapping[str, int]) -> None:
        super().__init__(dims)
        self.out_dim = several_outputs(dims, "evidential")

    def forward(self, features: Features) -> Fused:
        present = presence(features, self.dims)  # (batch, modality)
        scores = decisions(features, self.dims, present)  # (batch, modality, class)
        evidence = nn.functional.softplus(scores) * present.unsqueeze(-1)
        strength = evidence.sum(dim=-1, keepdim=True) + self.out_dim  # (batch, modality, 1)
        belief, uncertainty = evidence / strength, self.out_dim / strength
        opinions = zip(belief.unbind(dim=1), uncertainty.unbind(dim=1), strict=True)
        combined, unsure = reduce(_dempster, opinions)
        mean = combined + unsure / self.out_dim  # (batch, class)
        tiny = torch.finfo(mean.dtype).tiny
        return Fused(mean.clamp(min=tiny).log(), weights=1 - uncertainty.squeeze(-1))


def _dempster(one: Opinion, other: Opinion) -> Opinion:
    (belief_1, unsure_1), (belief_2, unsure_2) = one, other
    belief = belief_1 * belief_2 + unsure_2 * belief_1 + unsure_1 * belief_2
    unsure = unsure_1 * unsure_2
    agreed = belief.sum(dim=-1, keepdim=True) + unsure  # 1 − K, without its cancellation
    return belief / agreed, unsure / agreed


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [EvidentialFusion]
