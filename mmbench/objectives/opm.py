"""OPM: now and then hide the modality that is ahead, so that the model must do without.

Wei, Hu, Du & Wen, "On-the-fly Modulation for Balanced Multimodal Learning", IEEE TPAMI 2024
(https://arxiv.org/abs/2410.11582).

Differs from the paper: a head of each modality, trained on detached features, takes the place of
split weights over concatenated features (see ``ogm-ge``). With more than two modalities each is
compared with the mean of the others. A row that would lose all it has keeps it, where the authors'
code leaves the row out.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor

from mmbench.contracts import Course, Model, Objective
from mmbench.hookspecs import hookimpl
from mmbench.objectives._dominance import dominance, true_class_probability
from mmbench.objectives._heads import ProbedObjective
from mmbench.space import Range
from mmbench.types import Encoded, Features, Split, Task


class OPMObjective(ProbedObjective):
    """Modality m is dropped from a row with probability q_m.

    ``q_m = q_base (1 + α tanh(ρ_m − 1))`` if ρ_m > 1, else 0, with ρ_m the mean probability that
    m's head gives to the true class over the mean of the other modalities'. What stays is divided
    by ``1 − Σ_m d_m q_m / Σ_m d_m``, d_m the width of m, as in dropout. It happens in a share
    ``applied`` of the batches, and not in the first ``warmup`` epochs; never in evaluation.
    """

    name = "opm"
    min_modalities = 2

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        q_base: Annotated[float, Range(0.1, 0.6)] = 0.5,
        alpha: Annotated[float, Range(0.1, 1.0)] = 0.5,
        applied: Annotated[float, Range(0.0, 1.0)] = 0.7,
        warmup: Annotated[int, Range(0, 3)] = 1,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.q_base, self.alpha, self.applied, self.warmup = q_base, alpha, applied, warmup
        self.epoch = 0

    def begin_epoch(self, epoch: int, model: Model, course: Course) -> None:
        self.epoch = epoch

    def loss(self, model: Model, batch: Split) -> Tensor:
        features = model.encode(batch)
        probes = self.probe(model, features)
        if self.training and self.epoch >= self.warmup and len(self.modalities) > 1:
            features = self.thinned(features, self.probabilities(probes, batch.target, features))
        return self.whole_loss(model, model.respond(features), probes, batch.target)

    def probabilities(
        self, probes: Mapping[str, Tensor], target: Tensor, features: Features
    ) -> Tensor:
        """(modality,): with what probability each is dropped, in the order of the modalities."""
        ordered = {m: probes[m] for m in self.modalities}
        ratio = dominance(*true_class_probability(ordered, target, features))
        q = self.q_base * (1 + self.alpha * torch.tanh(ratio - 1))
        return torch.where(ratio > 1, q, 0.0).clamp(max=1.0)

    def thinned(self, features: Features, q: Tensor) -> dict[str, Encoded]:
        """The features with modalities dropped from rows, the others scaled up."""
        present = torch.stack([features[m].present for m in self.modalities], dim=1)
        at_all = torch.rand((), device=q.device) < self.applied
        dropped = (torch.rand_like(q.expand(len(present), -1)) < q) & at_all & present
        dropped &= (present & ~dropped).any(dim=1, keepdim=True)  # something is left in the row
        widths = torch.tensor([self.dims[m] for m in self.modalities], device=q.device)
        expected = (widths * q).sum() / widths.sum()  # the share of entries dropped
        scale = torch.where(at_all, 1 / (1 - expected), 1.0)
        kept = {m: features[m].without(dropped[:, i]) for i, m in enumerate(self.modalities)}
        return {m: Encoded(e.tokens * scale, e.mask, e.pooled * scale) for m, e in kept.items()}


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [OPMObjective]
