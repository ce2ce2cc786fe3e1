"""The loss of trusted multi-view classification (TMC): evidence is earned, not just the class.

Han, Zhang, Fu & Zhou, "Trusted Multi-View Classification", ICLR 2021
(https://arxiv.org/abs/2102.02051), on the loss of Sensoy, Kaplan & Kandemir, "Evidential Deep
Learning to Quantify Classification Uncertainty", NeurIPS 2018 (https://arxiv.org/abs/1806.01768).
Differs from the paper: the divergence has its full weight after 10 epochs, as in Sensoy et al.,
where TMC takes 50 of 500. A trial has ten unless it is told otherwise: the weight then grows to its
end, and a longer annealing is a smaller weight.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbench.contracts import Course, Model, Objective, Outputs
from mmbench.hookspecs import hookimpl
from mmbench.objectives._present import mean_over, present_in
from mmbench.space import Range
from mmbench.types import Task


class EvidentialObjective(Objective):
    """``L = ℓ(α) + Σ_m ℓ(α_m)``, ``ℓ(α) = ψ(S) − ψ(α_y) + λ KL(Dir(α̃) ‖ Dir(1))``, ``S = Σ α``.

    α_m = 1 + e_m is the Dirichlet distribution of one modality's evidence, α that of all together.
    The first two terms of ℓ are the expected cross-entropy. α̃ is α but 1 at the true class: what
    speaks for other classes shall vanish. λ grows with the epochs, from 0 to 1 after ``annealing``.
    """

    name = "evidential"
    offered = "named"
    targets = frozenset({"classification"})
    needs_unimodal = True
    requires = {"fusion": ("evidential",)}  # noqa: RUF012 - declared ClassVar in Objective
    batched = False

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        annealing: Annotated[int, Range(1, 50, log=True)] = 10,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.annealing = annealing
        self.annealed = 0.0

    def begin_epoch(self, epoch: int, model: Model, course: Course) -> None:
        """Let the divergence count for more."""
        self.annealed = min(1.0, epoch / self.annealing)

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        evidence = evidence_of(outputs)
        # the scores are the log of the fused mean; its strength the fusion keeps to itself
        strength = fused_strength(evidence.values()).unsqueeze(-1)
        fused = (strength * outputs.scores.softmax(-1)).clamp(min=1)
        loss = self.cost(fused, target).mean()
        for modality, values in evidence.items():
            loss = loss + mean_over(self.cost(1 + values, target), present_in(outputs, modality))
        return loss

    def cost(self, alpha: Tensor, target: Tensor) -> Tensor:
        """(batch,): expected cross-entropy under Dir(α), and the annealed divergence."""
        true = target.unsqueeze(1)
        entropy = alpha.sum(-1).digamma() - alpha.gather(1, true).squeeze(1).digamma()
        return entropy + self.annealed * divergence(alpha.scatter(1, true, 1.0))


def evidence_of(outputs: Outputs) -> dict[str, Tensor]:
    """(batch, class) per modality as the fusion sees it: none where the modality is missing."""
    return {
        m: torch.where(present_in(outputs, m).unsqueeze(1), F.softplus(scores), 0.0)
        for m, scores in outputs.unimodal.items()
    }


def fused_strength(evidence: Iterable[Tensor]) -> Tensor:
    """(batch,) S of the Dirichlet distribution that Dempster's rule makes of all evidence.

    Under the rule ``b + u`` multiplies, and so does its ratio to u, which is ``1 + e / C``: the
    fused evidence is ``C (Π_m (1 + e_m / C) − 1)``, whatever the order.
    """
    each = torch.stack(list(evidence))  # (modality, batch, class)
    n_classes = each.shape[-1]
    return n_classes * ((1 + each / n_classes).prod(0).sum(-1) - n_classes + 1)


def divergence(alpha: Tensor) -> Tensor:
    """(batch,) KL from Dir(α) to the uniform Dirichlet distribution, Dir(1)."""
    total, ones = alpha.sum(-1), torch.ones_like(alpha)
    normaliser = total.lgamma() - alpha.lgamma().sum(-1) - ones.sum(-1).lgamma()
    return normaliser + ((alpha - 1) * (alpha.digamma() - total.digamma().unsqueeze(-1))).sum(-1)


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [EvidentialObjective]
