"""Sample-level modality valuation: what a modality adds too little to is shown without the others.

Wei, Feng, Wang & Hu, "Enhancing Multimodal Cooperation via Sample-level Modality Valuation", CVPR
2024 (https://arxiv.org/abs/2309.06255), the sample-level method.
Differs from the paper: the further copies of a row are in the same batch as the row itself and
weigh in its mean, where the paper makes the epoch longer; the expected gradient is of the same
direction. It takes more than two modalities by the same rule, and up to four.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor

from mmbench.contracts import Course, Model, Objective, Outputs, with_penalty
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.objectives._subsets import MOST_MODALITIES, scores_with_only, shapley
from mmbench.space import Range
from mmbench.types import Features, Split, Task


class ModalityValuationObjective(Objective):
    """``L = (Σ_i L_i + Σ_i Σ_m n_im L_i(m alone)) / (B + Σ_i Σ_m n_im)`` over a batch of B rows.

    ``n_im = max(0, 2 (1 − φ_im))``, rounded, is how many more times row i is shown with all but m
    missing. φ_im is the Shapley value of m: a set of modalities is worth the number of them that
    row i has if the model, given these alone, is right about i, else nothing. They are worked out
    before each epoch from ``warmup`` on, by 2^M − 1 passes of fusion and head over the training
    part. A row that has one modality only is shown once.
    """

    name = "modality-valuation"
    offered = "named"
    targets = frozenset({"classification"})
    min_modalities = 2
    max_modalities = MOST_MODALITIES
    batched = False
    copies: Tensor  # (modality, training row), n

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        warmup: Annotated[int, Range(1, 5)] = 1,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.warmup, self.valued = warmup, False
        self.register_buffer("copies", torch.zeros(len(dims), 0))

    @torch.no_grad()
    def begin_epoch(self, epoch: int, model: Model, course: Course) -> None:
        """Value every modality of every row."""
        self.valued = epoch >= self.warmup and len(self.modalities) > 1
        if self.valued:
            counts = [
                self.count(model, model.encode(batch), batch.target)
                for batch in course.batches(course.train)
            ]
            self.copies = torch.cat(counts, dim=1)

    def count(self, model: Model, features: Features, target: Tensor) -> Tensor:
        """(modality, batch): n."""
        present = {m: features[m].present for m in self.modalities}

        def worth(subset: frozenset[str]) -> Tensor:
            right = scores_with_only(model, features, subset).argmax(dim=-1) == target
            return right * torch.stack([present[m] for m in subset]).sum(dim=0)

        values = shapley(self.modalities, lambda s: worth(s).to(self.copies.dtype))
        there = torch.stack(list(present.values()))  # (modality, batch)
        wanted = (2 - 2 * torch.stack(list(values.values()))).round().clamp(min=0)
        return torch.where(there & (there.sum(dim=0) > 1), wanted, 0.0)

    def loss(self, model: Model, batch: Split) -> Tensor:
        if not self.valued:
            return super().loss(model, batch)
        assert batch.ids is not None, "a batch knows its rows"
        copies = self.copies[:, batch.ids.to(self.copies.device)]
        features = model.encode(batch)
        outputs = model.respond(features)
        total = supervised_loss(self.task.target, outputs.scores, batch.target).sum()
        for modality, times in zip(self.modalities, copies, strict=True):
            alone = scores_with_only(model, features, frozenset({modality}))
            losses = supervised_loss(self.task.target, alone, batch.target)
            total = total + torch.where(times > 0, times * losses, 0.0).sum()
        mean = total / (len(batch) + copies.sum())
        return with_penalty(mean, outputs)

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        return supervised_loss(self.task.target, outputs.scores, target).mean()


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [ModalityValuationObjective]
