"""Mixup: between two samples the prediction, too, is to lie between their labels.

Zhang, Cisse, Dauphin & Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018
(https://arxiv.org/abs/1710.09412); of features rather than inputs, as Verma et al., "Manifold
Mixup", ICML 2019 (https://arxiv.org/abs/1806.05236): there is no text between two texts, but there
is a vector between two fused ones.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor

from mmbench.contracts import Model, Objective, Outputs, with_penalty
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.space import Range
from mmbench.types import Split, Task

STEPS = 1024
"""How finely the distribution of the share is known."""


class MixupObjective(Objective):
    """``λ L(f(h), y) + (1 − λ) L(f(h), y')`` of ``h = λ h(x) + (1 − λ) h(x')``.

    h is the fused vector, f the head, x' another row of the batch and λ ~ Beta(α, α), drawn for
    each row. It is the loss of the mixed label: cross-entropies are linear in it, and of a squared
    error what differs is constant. A fusion of decisions has no vector before its heads; there the
    decisions are mixed.
    """

    name = "mixup"

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        alpha: Annotated[float, Range(0.1, 2.0, log=True)] = 0.2,
    ) -> None:
        from scipy.special import betaincinv  # type: ignore[import-untyped]

        super().__init__(task, dims, fused_dim)
        middles = (torch.arange(STEPS, dtype=torch.float64) + 0.5) / STEPS
        shares = torch.as_tensor(betaincinv(alpha, alpha, middles.numpy()))
        self.register_buffer("shares", shares.to(torch.get_default_dtype()), persistent=False)
        self.shares: Tensor  # (steps,), quantiles of Beta(α, α)

    def loss(self, model: Model, batch: Split) -> Tensor:
        outputs = model(batch)
        n, device = len(outputs.fused), outputs.fused.device
        share = self.shares[(torch.rand(n, device=device) * STEPS).long()]
        other = torch.rand(n, device=device).argsort()
        mixed = self.mixed(model, outputs.fused, share, other)
        own = supervised_loss(self.task.target, mixed, batch.target)
        others = supervised_loss(self.task.target, mixed, batch.target[other])
        return with_penalty((share * own + (1 - share) * others).mean(), outputs)

    def mixed(self, model: Model, fused: Tensor, share: Tensor, other: Tensor) -> Tensor:
        """(batch, n_outputs) of fused vectors (batch, dim) mixed with those of ``other`` rows."""
        share = share.unsqueeze(1)
        vectors = share * fused + (1 - share) * fused[other]
        return vectors if model.head is None else model.head(vectors)

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        return supervised_loss(self.task.target, outputs.scores, target).mean()


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [MixupObjective]
