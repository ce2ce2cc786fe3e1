"""AdamW (Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019).

The arithmetic is torch's own fused kernel. The class ``torch.optim.AdamW`` around it imports
torch's compiler at its first step, which takes longer than many a trial: every worker would wait
five seconds for something it does not use. The function between them costs as much as the kernel.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

BETAS, EPSILON = (0.9, 0.999), 1e-8


class AdamW:
    """For parameters that decay, and others that do not; the rate is given at each step."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        weight_decay: float,
        spared: Iterable[nn.Parameter] = (),
    ) -> None:
        self.groups = [Group(list(parameters), weight_decay), Group(list(spared), 0.0)]
        self.parameters = [p for group in self.groups for p in group.parameters]

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def step(self, learning_rate: float) -> None:
        """Update every parameter that has a gradient, in place."""
        for group in self.groups:
            group.step(learning_rate)


class Group:
    """Parameters of one weight decay, with their moments."""

    def __init__(self, parameters: list[nn.Parameter], weight_decay: float) -> None:
        self.parameters, self.weight_decay = parameters, weight_decay
        self.means = [torch.zeros_like(p) for p in self.parameters]
        self.squares = [torch.zeros_like(p) for p in self.parameters]
        self.steps = [torch.zeros((), device=p.device) for p in self.parameters]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Update every parameter that has a gradient, in place."""
        used = [i for i, p in enumerate(self.parameters) if p.grad is not None]
        if not used:
            return

        def of(tensors: list[Tensor]) -> list[Tensor]:
            return tensors if len(used) == len(tensors) else [tensors[i] for i in used]

        steps = of(self.steps)
        torch._foreach_add_(steps, 1.0)
        adamw(
            of(list[Tensor](self.parameters)),
            [g for p in self.parameters if (g := p.grad) is not None],
            of(self.means),
            of(self.squares),
            steps,
            learning_rate,
            self.weight_decay,
        )


def adamw(
    parameters: list[Tensor],
    gradients: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    steps: list[Tensor],
    learning_rate: float,
    weight_decay: float,
) -> None:
    """One step, in place; ``steps`` counts from one, this step among them."""
    torch._fused_adamw_(
        parameters,
        gradients,
        means,
        squares,
        [],
        steps,
        lr=learning_rate,
        beta1=BETAS[0],
        beta2=BETAS[1],
        weight_decay=weight_decay,
        eps=EPSILON,
        amsgrad=False,
        maximize=False,
    )
