"""MLA: modalities learn in turns through one head, each careful of what the last ones learnt.

Zhang, Yoon, Bansal & Yao, "Multimodal Representation Learning by Alternating Unimodal Adaptation",
CVPR 2024 (https://arxiv.org/abs/2311.10707); the gradient is made orthogonal as in Zeng, Chen, Cui
& Yu, "Continual learning of context-dependent processing in neural networks", 2019.
Differs from the paper: turns change with every batch, all modalities have theirs in it, and the
memory of what was read starts anew with each epoch: it only ever shrinks what may be learnt, and
would freeze the head in a long training. The optimiser's step is made orthogonal, not the gradient:
AdamW remembers older gradients and rescales each number, and would step along what is protected.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, cast

import torch
from torch import Tensor, nn

from mmbench.contracts import Course, Model, Objective, Outputs
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.objectives._present import mean_over, unimodal_losses
from mmbench.space import Range
from mmbench.types import Split, Task


class MLAObjective(Objective):
    """For m in turn a step down ``L_m = L(h(u_m), y)``, ``u_m = A_m x_m``; h is linear and shared.

    In m's turn the step Δ of h's weights becomes ``Δ P``. After it ``P ← P − P r rᵀP / (α +
    rᵀP r)``, r the mean of u_m over the rows of the batch that have m; P starts as the identity. So
    the next modalities leave alone what h's weights say of this one's mean; the less, the larger α.
    Its bias is everybody's, as in the authors' code.

    The fusion is for testing only, nothing is trained through it: ``late-entropy`` trusts the
    modality that is least undecided, as the paper does; ``late-average`` trusts all alike.
    """

    name = "mla"
    offered = "named"
    targets = frozenset({"classification"})
    min_modalities = 2
    needs_unimodal = True
    shares_head = True
    requires = {"fusion": ("late-entropy", "late-average"), "head": ("linear",)}  # noqa: RUF012
    batched = False

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        alpha: Annotated[float, Range(0.01, 10.0, log=True)] = 0.1,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.alpha = alpha
        self.register_buffer("free", torch.ones(0, 0))
        self.free: Tensor  # (shared width, shared width), P

    def begin_epoch(self, epoch: int, model: Model, course: Course) -> None:
        """Forget what was read."""
        weight = shared_weight(model, self.modalities[0])
        self.free = torch.eye(weight.shape[1], dtype=weight.dtype, device=weight.device)

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        """All turns in one number."""
        losses = unimodal_losses(self.task.target, outputs, target)
        return torch.stack(list(losses.values())).sum()

    def step(self, model: Model, batch: Split, update: Callable[[], None]) -> Tensor:
        features, total = model.encode(batch), torch.zeros((), device=batch.target.device)
        for modality, encoded in features.items():
            project, head = sequential(model, modality)
            read = project(encoded.pooled)  # (batch, shared width)
            losses = supervised_loss(self.task.target, head(read), batch.target)
            loss = mean_over(losses, encoded.present)
            loss.backward()
            self.protect(shared_weight(model, modality), update)
            self.remember(read.detach(), encoded.present)
            total = total + loss.detach()
        return total

    @torch.no_grad()
    def protect(self, weight: nn.Parameter, update: Callable[[], None]) -> None:
        """Take from the step of the shared weights what would change what was said before."""
        start = weight.clone()
        update()
        weight.copy_(start + (weight - start) @ self.free)

    def remember(self, read: Tensor, present: Tensor) -> None:
        """Recursive least squares: shrink P along the mean of the rows that have the modality."""
        mean = read.masked_fill(~present.unsqueeze(1), 0.0).sum(dim=0) / present.sum().clamp(min=1)
        along = self.free @ mean
        self.free = self.free - torch.outer(along, along) / (self.alpha + mean @ along)


def sequential(model: Model, modality: str) -> nn.Sequential:
    """A modality's projection, then the head that all share."""
    return cast(nn.Sequential, model.unimodal_heads_by_modality[modality])


def shared_weight(model: Model, modality: str) -> nn.Parameter:
    """(n_outputs, shared width) of the shared head."""
    weight, _bias = sequential(model, modality)[1].parameters()
    return weight


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [MLAObjective]
