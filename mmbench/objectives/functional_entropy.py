"""Functional entropy: every modality, when it wavers, must make the prediction waver.

Gat, Schwartz, Schwing & Hazan, "Removing Bias in Multi-modal Classifiers: Regularization by
Maximizing Functional Entropies", NeurIPS 2020 (https://arxiv.org/abs/2010.10802).
Differs from the paper: noise is added to the encoders' features, not to raw inputs. The regulariser
is ``Σ log(1 + 1 / I)``, not the authors' norm of ``1 / I``: the same order, but with a slope that
does not explode where the information I vanishes, so that its weight need not be 1e-10. The
divergence is Kullback-Leibler's rather than the cross-entropy, which adds the prediction's own
entropy to f. Gradients are taken in units of the noise, as the log-Sobolev inequality has them.
Both predictions are made without dropout, so that nothing but the noise tells them apart.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmbench.contracts import Model, Objective, Outputs, with_penalty
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.objectives._evaluating import evaluating
from mmbench.objectives._present import mean_over
from mmbench.space import Range
from mmbench.types import Encoded, Split, TargetKind, Task, masked_mean

LEAST = 1e-6
"""What is added to a divergence or an information before it divides."""


class FunctionalEntropyObjective(Objective):
    """``L = L(f(x), y) + weight · Σ_m log(1 + 1 / I_m)``, ``I_m = mean of |∇d(ε)|² / d(ε)``.

    ``d(ε) = KL(p(x) ‖ p(x with x_m + σ ⊙ ε))``, ε standard normal, σ the deviation of each unit of
    m over the batch times ``noise``, held constant; the gradient is by ε. Half of I_m, the
    functional Fisher information, is an upper bound of the functional entropy of d. It is a mean
    over ``samples`` draws and over the rows that have m. With one modality there is nothing to
    balance: it is plain.
    """

    name = "functional-entropy"
    offered = "named"
    targets = frozenset({"classification", "multilabel"})
    min_modalities = 2
    batched = False

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        weight: Annotated[float, Range(1e-3, 0.3, log=True)] = 0.02,
        noise: Annotated[float, Range(0.1, 2.0, log=True)] = 1.0,
        samples: Annotated[int, Range(1, 10, log=True)] = 1,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.weight, self.noise, self.samples = weight, noise, samples

    def loss(self, model: Model, batch: Split) -> Tensor:
        outputs = model.respond(model.encode(batch))
        loss = with_penalty(self(outputs, batch.target), outputs)
        for modality in self.modalities if len(self.modalities) > 1 else ():
            draws = [self.information(model, outputs, modality) for _ in range(self.samples)]
            information = mean_over(
                torch.stack(draws).mean(dim=0), outputs.features[modality].present
            )
            known = outputs.features[modality].present.any()
            balance = (1 / (information + LEAST)).log1p()
            loss = loss + self.weight * torch.where(known, balance, 0.0)
        return loss

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        return supervised_loss(self.task.target, outputs.scores, target).mean()

    def information(self, model: Model, outputs: Outputs, modality: str) -> Tensor:
        """(batch,): ``|∇d|² / d`` at one draw of the noise; it can be differentiated again."""
        clean = outputs.features[modality]
        drawn = torch.randn_like(clean.tokens).requires_grad_()
        with twice_differentiable(), evaluating(model):
            noisy = perturbed(clean, self.noise * drawn)
            before = model.respond(outputs.features)
            after = model.respond({**outputs.features, modality: noisy})
            divergence = divergences(self.task.target, before.scores, after.scores)
            (slope,) = torch.autograd.grad(
                divergence.sum(), drawn, create_graph=True, materialize_grads=True
            )
        return slope.square().sum(dim=(1, 2)) / (divergence + LEAST)


def perturbed(encoded: Encoded, noise: Tensor) -> Encoded:
    """Noise (batch, time, dim), in deviations of each unit, on the tokens and thereby the mean."""
    added = noise * deviation(encoded) * encoded.mask.unsqueeze(-1)
    return Encoded(
        encoded.tokens + added, encoded.mask, encoded.pooled + masked_mean(added, encoded.mask)
    )


@torch.no_grad()
def deviation(encoded: Encoded) -> Tensor:
    """(dim,): the standard deviation of each unit over all real tokens; no gradient reaches it."""
    real = encoded.mask.unsqueeze(-1)
    tokens = encoded.tokens.masked_fill(~real, 0.0)
    count = encoded.mask.sum().clamp(min=1)
    mean = tokens.sum(dim=(0, 1)) / count
    return (((tokens - mean) * real).square().sum(dim=(0, 1)) / count).sqrt()


def divergences(kind: TargetKind, clean: Tensor, noisy: Tensor) -> Tensor:
    """(batch,): Kullback-Leibler divergence of classes, or the mean of that of each label."""
    if kind == "classification":
        before, after = clean.log_softmax(dim=-1), noisy.log_softmax(dim=-1)
        apart = (before.exp() * (before - after)).sum(dim=-1)
    else:
        yes = clean.sigmoid() * (F.logsigmoid(clean) - F.logsigmoid(noisy))
        no = (-clean).sigmoid() * (F.logsigmoid(-clean) - F.logsigmoid(-noisy))
        apart = (yes + no).mean(dim=-1)
    return apart.clamp(min=0)  # below zero only by rounding


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Without the fused kernels of attention and recurrence, which have no second derivative."""
    with sdpa_kernel(SDPBackend.MATH), torch.backends.cudnn.flags(enabled=False):
        yield


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [FunctionalEntropyObjective]
