"""Multimodal variational autoencoder: one latent vector explains all modalities, or each alone.

Wu & Goodman, "Multimodal Generative Models for Scalable Weakly-Supervised Learning", NeurIPS 2018
(https://arxiv.org/abs/1802.05335).
Differs from the paper: decoders rebuild the encoders' pooled features, normalised and fixed, not
raw inputs; the task's loss is added. Likelihoods are a mean over units, not a sum, weighed by
``weight``; the weight of the divergence is the fusion's ``kl_weight``, not annealed. The bounds are
those of all modalities and of each alone, without the paper's random subsets in between (with two
modalities there are none).
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Model, Objective, Outputs, with_penalty
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.objectives._pooled import perceptron, reconstruction
from mmbench.objectives._present import mean_over
from mmbench.space import Range
from mmbench.types import Split, Task


class MVAEObjective(Objective):
    """``L = L(f(x), y) + B(x) + Σ_m B(x_m)``, B the negative evidence lower bound.

    ``B(x_S) = Σ_{m∈S} weight · mean of (x_m − D_m(z_S))² + kl_weight · KL(q(z | x_S) ‖ N(0, 1))``,
    z_S drawn from the posterior q of the fusion given the modalities S, whose penalty is the second
    term. A row counts in B(x_m) if it has m.
    """

    name = "mvae"
    offered = "named"
    requires = {"fusion": ("product-of-experts",)}  # noqa: RUF012 - a ClassVar by its contract
    batched = False

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        weight: Annotated[float, Range(0.01, 1.0, log=True)] = 0.1,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.weight = weight
        self.decode = nn.ModuleDict({m: perceptron(fused_dim, d, width) for m, d in dims.items()})

    def loss(self, model: Model, batch: Split) -> Tensor:
        outputs = model.respond(model.encode(batch))
        loss = with_penalty(self(outputs, batch.target), outputs)
        if len(self.modalities) > 1:
            loss = loss + sum(self.bound_alone(model, outputs, m) for m in self.modalities)
        return loss

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        """The task's loss and the reconstruction of every modality from all."""
        loss = supervised_loss(self.task.target, outputs.scores, target).mean()
        return loss + sum(self.rebuilt(outputs, outputs, m) for m in self.modalities)

    def bound_alone(self, model: Model, outputs: Outputs, modality: str) -> Tensor:
        """B(x_m): the model is asked again, with all other modalities missing."""
        features = outputs.features
        gone = torch.ones_like(features[modality].present)
        alone = model.respond(
            {m: e if m == modality else e.without(gone) for m, e in features.items()}
        )
        bound = self.rebuilt(alone, outputs, modality)
        if alone.penalty is None:
            return bound
        return bound + mean_over(alone.penalty, features[modality].present)

    def rebuilt(self, latent: Outputs, outputs: Outputs, modality: str) -> Tensor:
        """How far the features are from what z says they are, a scalar."""
        decoded = self.decode[modality](latent.fused)
        return self.weight * reconstruction(decoded, outputs.features[modality])


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [MVAEObjective]
