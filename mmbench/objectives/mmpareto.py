"""MMPareto: help from each modality's own loss, unless it pulls against the fused loss.

Wei & Hu, "MMPareto: Boosting Multimodal Learning with Innocent Unimodal Assistance", ICML 2024
(https://arxiv.org/abs/2405.17730).

Differs from the paper: the magnitude is restored over an encoder as a whole, where the authors'
code does so for each tensor; the weights of the two gradients are the closed form for two vectors,
not an iterative solver. Where the two cancel almost exactly, what is left has no direction worth
keeping and is enlarged by at most ``LARGEST_GAIN``. The factor multiplies the optimiser's step
(``_steps`` says why).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Model, Objective, Outputs, trainable, with_penalty
from mmbench.hookspecs import hookimpl
from mmbench.objectives._heads import head_losses
from mmbench.objectives._steps import update_by
from mmbench.space import Range
from mmbench.types import Split, Task

LARGEST_GAIN = 1e3


class MMParetoObjective(Objective):
    """``L = L_fused + Σ_m L_m``; each encoder goes γ times the step that h leads to.

    h takes the place of its gradient. With g the gradient of the fused loss and u that of its own
    head's loss: if ``g·u ≥ 0``, ``h = g + u``; else h points along the shortest vector
    ``a g + (1 − a) u``, ``a = (u − g)·u / ‖g − u‖²``, which lowers both losses, and is as long as
    g + u. Fusion and heads learn by the plain sum.
    """

    name = "mmpareto"
    acts_on_encoders = True
    min_modalities = 2
    needs_unimodal = True
    batched = False

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        gamma: Annotated[float, Range(1.0, 3.0)] = 1.5,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.gamma = gamma

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        return head_losses(self.task.target, outputs, target, self.modalities).sum()

    def step(self, model: Model, batch: Split, update: Callable[[], None]) -> Tensor:
        outputs = model.respond(model.encode(batch))
        losses = head_losses(self.task.target, outputs, batch.target, self.modalities)
        encoders = {m: trainable(encoder) for m, encoder in model.encoders_by_modality.items()}
        own = {
            m: torch.autograd.grad(
                losses[1 + i], encoders[m], retain_graph=True, materialize_grads=True
            )
            for i, m in enumerate(self.modalities)
            if encoders.get(m)
        }
        loss = with_penalty(losses.sum(), outputs)
        loss.backward()
        for m, gradients in own.items():
            self.integrate(encoders[m], gradients)
        update_by(dict.fromkeys(own, torch.tensor(self.gamma)), model, update)
        return loss.detach()

    @torch.no_grad()
    def integrate(self, parameters: Sequence[nn.Parameter], own: Sequence[Tensor]) -> None:
        """Replace the summed gradient of an encoder, ``own`` its share from its own loss."""
        used = [(p, p.grad, u) for p, u in zip(parameters, own, strict=True) if p.grad is not None]
        if not used:
            return  # no row of the batch has the modality
        total = torch.cat([g.flatten() for _, g, _ in used])
        uni = torch.cat([u.flatten() for _, _, u in used])
        new = integrated(total - uni, uni)
        parts = new.split([p.numel() for p, _, _ in used])
        for (parameter, _, _), part in zip(used, parts, strict=True):
            parameter.grad = part.view_as(parameter)


def integrated(multi: Tensor, uni: Tensor) -> Tensor:
    """Two gradients (n,) as one that lowers both losses, as long as their sum."""
    total, difference = multi + uni, multi - uni
    tiny = torch.finfo(multi.dtype).tiny
    share = -(difference @ uni) / difference.square().sum().clamp(min=tiny)
    shortest = uni + share.clamp(0, 1) * difference
    gain = total.norm() / shortest.norm().clamp(min=tiny)
    return torch.where(multi @ uni < 0, gain.clamp(max=LARGEST_GAIN) * shortest, total)


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [MMParetoObjective]
