"""OGM-GE: slow down the encoder of the modality that is ahead.

Peng, Wei, Deng, Wang & Hu, "Balanced Multimodal Learning via On-the-fly Gradient Modulation",
CVPR 2022 (https://arxiv.org/abs/2203.15332).

Differs from the paper: it splits the weights of a linear layer over concatenated features to see
what each modality says, which exists for one fusion only. Here a head of each modality, trained on
detached features, says it for any fusion. With more than two modalities each is compared with the
mean of the others. Every tensor of an encoder is modulated, not those of convolutions alone; scores
are means over the rows that have the modality. The optimiser's step takes the place of the gradient
(``_steps`` says why).
"""

from collections.abc import Callable, Mapping
from typing import Annotated

import torch
from torch import Tensor

from mmbench.contracts import Model, Objective
from mmbench.hookspecs import hookimpl
from mmbench.objectives._dominance import dominance, true_class_probability
from mmbench.objectives._heads import ProbedObjective
from mmbench.objectives._steps import update_by
from mmbench.space import Range
from mmbench.types import Features, Split, Task


class OGMGEObjective(ProbedObjective):
    """``Δ_m ← k_m Δ_m + ε``, with ``k_m = 1 − tanh(α ρ_m)`` if ρ_m > 1, else 1.

    Δ_m is the step of modality m's encoder, and ρ_m the mean probability that m's head gives to the
    true class over the mean of the other modalities'. ε is Gaussian noise with the standard
    deviation of each tensor's step before it is scaled (``noise``, the GE of the name). Fusion and
    heads are left alone; so is everything if there is but one modality.
    """

    name = "ogm-ge"
    acts_on_encoders = True
    min_modalities = 2

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        alpha: Annotated[float, Range(0.05, 1.0, log=True)] = 0.1,
        noise: bool = True,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.alpha, self.noise = alpha, noise

    def step(self, model: Model, batch: Split, update: Callable[[], None]) -> Tensor:
        features = model.encode(batch)
        probes = self.probe(model, features)
        loss = self.whole_loss(model, model.respond(features), probes, batch.target)
        loss.backward()
        if len(self.modalities) == 1:
            update()
        else:
            coefficients = self.coefficients(probes, batch.target, features)
            factors = dict(zip(self.modalities, coefficients, strict=True))
            update_by(factors, model, update, noise=self.noise)
        return loss.detach()

    def coefficients(
        self, probes: Mapping[str, Tensor], target: Tensor, features: Features
    ) -> Tensor:
        """(modality,): k, at most 1, in the order of the modalities."""
        ordered = {m: probes[m] for m in self.modalities}
        ratio = dominance(*true_class_probability(ordered, target, features))
        return torch.where(ratio > 1, 1 - torch.tanh(self.alpha * ratio), 1.0)


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [OGMGEObjective]
