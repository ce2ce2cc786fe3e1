"""AGM: adaptive gradient modulation by what each modality contributes, for any fusion.

Li, Li, Hu, Lei, Li & Zhou, "Boosting Multi-modal Model Performance with Adaptive Gradient
Modulation", ICCV 2023 (https://arxiv.org/abs/2308.07686).

Differs from the paper: the coefficient multiplies the step of a modality's encoder, not the
gradient at its mono-modal response; with separate encoders that meet in a sum, and plain gradient
descent, it is the same (``_steps`` says why the step). The mono-modal responses are computed in
evaluation mode, with a missing modality as this model knows it. On the first batch there is no
reference yet and nothing is modulated.
"""

import math
from collections.abc import Callable, Mapping
from typing import Annotated

import torch
from torch import Tensor

from mmbench.contracts import Model, Objective, Outputs, with_penalty
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.objectives._dominance import comparable, mean_of_others
from mmbench.objectives._evaluating import evaluating
from mmbench.objectives._present import mean_over
from mmbench.objectives._steps import update_by
from mmbench.objectives._subsets import MOST_MODALITIES, scores_with_only, shapley
from mmbench.space import Range
from mmbench.types import Features, Split, Task

LARGEST_GAIN = 7.0
"""The reference is at most this much above the ratio, so that no coefficient explodes."""
LARGEST_LOSS = -math.log(1e-8)


class AGMObjective(Objective):
    """``Δ_m ← κ_m Δ_m`` with ``κ_m = exp(α min(τ_m − r_m, 7))``, Δ_m the step of m's encoder.

    ``r_m = exp(s_m − mean of the other s)``: how far m is ahead on this batch; s_m is the mean
    log-likelihood of the target by m's mono-modal response φ_m. ``τ_m`` is the same of the running
    means of s. ``φ_m = Σ_{S∌m} |S|! (M−|S|−1)! / M! (v(S ∪ m) − v(S))`` is m's Shapley value: v(S)
    are the model's scores with only S present, v(∅) = 0. That takes 2^M − 1 more forward passes of
    fusion and head per step, without gradients: at most four modalities.
    """

    name = "agm"
    acts_on_encoders = True
    targets = frozenset({"classification", "multilabel"})
    min_modalities = 2
    max_modalities = MOST_MODALITIES
    batched = False
    reference: Tensor  # (modality,) running means of s
    seen: Tensor  # (modality,) over how many batches

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        alpha: Annotated[float, Range(0.05, 1.0, log=True)] = 0.2,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.alpha = alpha
        self.register_buffer("reference", torch.zeros(len(dims)))
        self.register_buffer("seen", torch.zeros(len(dims)))

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        return supervised_loss(self.task.target, outputs.scores, target).mean()

    def step(self, model: Model, batch: Split, update: Callable[[], None]) -> Tensor:
        features = model.encode(batch)
        outputs = model.respond(features)
        loss = with_penalty(self(outputs, batch.target), outputs)
        loss.backward()
        if len(self.modalities) == 1:
            update()
        else:
            coefficients = self.coefficients(*self.scores(model, features, batch.target))
            update_by(dict(zip(self.modalities, coefficients, strict=True)), model, update)
        return loss.detach()

    @torch.no_grad()
    def scores(self, model: Model, features: Features, target: Tensor) -> tuple[Tensor, Tensor]:
        """(modality,): the mean log-likelihood by each mono-modal response, and if it is known."""
        with evaluating(model):
            responses = shapley(self.modalities, lambda s: scores_with_only(model, features, s))
        present = [features[m].present for m in self.modalities]
        likelihoods = [
            -mean_over(
                supervised_loss(self.task.target, responses[m], target).clamp(max=LARGEST_LOSS),
                rows,
            )
            for m, rows in zip(self.modalities, present, strict=True)
        ]
        scores = torch.stack(likelihoods)
        return scores, torch.stack([rows.any() for rows in present]) & scores.isfinite()

    @torch.no_grad()
    def coefficients(self, scores: Tensor, known: Tensor) -> Tensor:
        """(modality,): κ by the reference so far; then the scores join the reference."""
        reference = torch.where(self.seen > 0, self.reference, scores)
        ratio, usual = ((s - mean_of_others(s, known)).exp() for s in (scores, reference))
        gain = (usual - ratio).clamp(max=LARGEST_GAIN)
        self.seen += known
        step = (scores - self.reference) / self.seen.clamp(min=1)
        self.reference += torch.where(known, step, 0.0)
        return torch.where(comparable(known), (self.alpha * gain).exp(), 1.0)


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [AGMObjective]
