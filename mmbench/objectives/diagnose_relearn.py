"""Diagnose and re-learn: an encoder that has learnt its training part by heart forgets some of it.

Wei, Li, Feng & Hu, "Diagnosing and Re-learning for Balanced Multimodal Learning", ECCV 2024
(https://arxiv.org/abs/2407.09705).
Differs from the paper: by default it happens after the third and the sixth epoch; the authors' code
does it three times in 50 epochs, 20 apart. Clusters are of at most ``MOST_ROWS`` rows of each part,
spread over it, and of those that have the modality.
"""

import copy
from collections.abc import Mapping
from typing import Annotated

import numpy as np
import torch
from torch import Tensor, nn

from mmbench.contracts import Course, Model, Objective, Outputs, trainable
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.space import Range
from mmbench.types import Split, Task

MOST_ROWS = 2048


class DiagnoseRelearnObjective(Objective):
    """``θ_m ← (1 − α_m) θ_m + α_m θ⁰_m`` before some epochs; the loss is the plain one.

    θ_m are the weights of m's encoder, θ⁰_m what they were at the start. ``α_m = tanh(λ g_m)``,
    ``g_m = |purity on the training part − purity on validation|``: m's features are put into as
    many k-means clusters as there are classes, and the purity is the share of rows that are of the
    most frequent class of their cluster. It happens every ``every`` epochs, ``times`` times.
    """

    name = "diagnose-relearn"
    acts_on_encoders = True
    offered = "named"
    targets = frozenset({"classification"})
    batched = False

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        strength: Annotated[float, Range(0.5, 10.0, log=True)] = 3.0,
        every: Annotated[int, Range(1, 3)] = 3,
        times: Annotated[int, Range(1, 3)] = 2,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.strength, self.every, self.times = strength, every, times
        self.initial = nn.ModuleDict()

    def begin(self, model: Model, course: Course) -> None:
        """Keep the encoders that learn as they are now."""
        for modality, encoder in model.encoders_by_modality.items():
            if trainable(encoder):
                self.initial[modality] = copy.deepcopy(encoder).requires_grad_(requires_grad=False)

    @torch.no_grad()
    def begin_epoch(self, epoch: int, model: Model, course: Course) -> None:
        """Diagnose, and soften what has gone too far."""
        due, turn = epoch % self.every == 0, epoch // self.every
        if not due or not 1 <= turn <= self.times:
            return
        parts = [self.look(model, course, part) for part in (course.train, course.val)]
        for modality, initial in self.initial.items():
            seen, unseen = (purity(*part[modality], self.task.n_outputs) for part in parts)
            soften(model.encoders_by_modality[modality], initial, self.forgotten(seen - unseen))

    def forgotten(self, gap: float) -> float:
        """α, between 0 and 1."""
        return float(np.tanh(self.strength * abs(gap)))

    @torch.no_grad()
    def look(
        self, model: Model, course: Course, part: Split
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Of each modality (rows, dim) features and (rows,) classes, of some rows that have it."""
        kept = torch.linspace(0, len(part) - 1, min(MOST_ROWS, len(part))).long()
        seen = [(model.encode(batch), batch.target) for batch in course.batches(part.rows(kept))]
        target = torch.cat([classes for _, classes in seen])
        found = {}
        for m in self.modalities:
            present = torch.cat([features[m].present for features, _ in seen])
            pooled = torch.cat([features[m].pooled for features, _ in seen])
            found[m] = (pooled[present].cpu().numpy(), target[present].cpu().numpy())
        return found

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        return supervised_loss(self.task.target, outputs.scores, target).mean()


def purity(features: np.ndarray, classes: np.ndarray, n_clusters: int) -> float:
    """How pure k-means clusters of ``features`` (rows, dim), each unit from −1 to 1, are."""
    from sklearn.cluster import KMeans
    from sklearn.preprocessing import minmax_scale

    if len(features) == 0:
        return 1.0  # nothing is there to be impure
    scaled = minmax_scale(features, feature_range=(-1, 1))
    n_clusters = min(n_clusters, len(np.unique(scaled, axis=0)))  # rows that are equal cannot part
    clusters = KMeans(n_clusters, n_init=1, random_state=0).fit_predict(scaled)
    return majority_share(clusters, classes)


def majority_share(clusters: np.ndarray, classes: np.ndarray) -> float:
    """The share of rows that are of the most frequent class of their cluster."""
    frequent = [np.bincount(classes[clusters == c]).max() for c in np.unique(clusters)]
    return float(sum(frequent) / len(classes))


@torch.no_grad()
def soften(module: nn.Module, initial: nn.Module, share: float) -> None:
    """Bring every trained weight back to its first value by ``share`` of the way."""
    first = dict(initial.named_parameters())
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            parameter.lerp_(first[name], share)


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [DiagnoseRelearnObjective]
