"""How far the encoder of each modality goes along the step that an update takes.

Papers that slow an encoder down, or speed it up, train by gradient descent and multiply gradients.
An optimiser that divides each gradient by its own usual size, as AdamW does, takes the same step
whatever all gradients are multiplied by. So the step itself is multiplied: with gradient descent
that is the same, with AdamW it is what the papers are after, another learning rate for an encoder.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mmbench.contracts import Model, trainable


@torch.no_grad()
def update_by(
    factors: Mapping[str, Tensor], model: Model, update: Callable[[], None], *, noise: bool = False
) -> None:
    """Let ``update`` take its step; an encoder goes its modality's factor (a scalar) times as far.

    ``noise`` is added to what an encoder goes: normal, for each tensor with the standard deviation
    of the whole step.
    """
    encoders = {m: trainable(model.encoders_by_modality[m]) for m in factors}
    before = {m: [p.clone() for p in parameters] for m, parameters in encoders.items()}
    update()
    for modality, factor in factors.items():
        for parameter, start in zip(encoders[modality], before[modality], strict=True):
            redirect(parameter, start, factor, noise=noise)


@torch.no_grad()
def redirect(parameter: nn.Parameter, start: Tensor, factor: Tensor, *, noise: bool) -> None:
    """Put a parameter, which has come from ``start``, at ``factor`` times that way, and noise."""
    step = parameter - start
    gone = factor * step
    if noise:
        gone += step.std(correction=0) * torch.randn_like(step)
    parameter.copy_(start + gone)
