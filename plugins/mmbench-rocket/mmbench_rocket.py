"""Random convolution kernels for series (ROCKET).

Dempster, Petitjean & Webb, "ROCKET: Exceptionally fast and accurate time series classification
using random convolutional kernels", Data Mining and Knowledge Discovery 2020
(https://arxiv.org/abs/1910.13051).
Differs from the paper: each kernel reads one random channel of a series of several; a channel is
standardised by its mean and deviation in training, not each series by its own; 256 kernels by
default, not 10,000: what follows is a small network, not a ridge classifier.
"""

import math
from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import conv1d

from mmbench.api import Column, Encoded, Encoder, Fitted, Range, hookimpl

mmbench_api = ">=1"

LENGTHS = (7, 9, 11)
LONGEST = max(LENGTHS)


class Rocket(Encoder):
    """Of each kernel's answer over time the share above zero, and the maximum: two per kernel.

    A kernel has length 7, 9 or 11, centred normal weights, a bias from U(−1, 1) and a dilation
    2^U(0, log₂((T − 1) / (length − 1))). One half of them reads zeros beyond the ends of the
    series, the other only windows that lie inside. Steps that are NaN throughout are padding.
    """

    name = "rocket"
    accepts = "series"
    frozen = True  # kernels are drawn, not trained

    def __init__(
        self,
        fitted: Fitted,
        *,
        kernels: Annotated[int, Range(64, 2048, log=True)] = 256,
        seed: int = 0,
    ) -> None:
        super().__init__(fitted)
        draw = torch.Generator().manual_seed(seed)
        time, channels = fitted["shape"]
        lengths = torch.tensor(LENGTHS)[torch.randint(len(LENGTHS), (kernels,), generator=draw)]
        self.register_buffer("mean", torch.tensor(fitted["mean"]))
        self.register_buffer("std", torch.tensor(fitted["std"]))
        self.register_buffer("weight", _weights(lengths, draw))  # (kernels, LONGEST)
        self.register_buffer("bias", 2 * torch.rand(kernels, generator=draw) - 1)
        self.register_buffer("channel", torch.randint(channels, (kernels,), generator=draw))
        self.register_buffer("inside", torch.rand(kernels, generator=draw) < 0.5)
        most = torch.log2((max(time - 1, 1) / (lengths - 1)).clamp(min=1.0))
        dilation = 2 ** (most * torch.rand(kernels, generator=draw))
        self.register_buffer("dilation", dilation.floor().long())
        self.register_buffer("reach", self.dilation * (lengths // 2))  # steps to either side
        self.dilations = sorted(set(self.dilation.tolist()))
        self.out_dim = 2 * kernels

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """The shape of a series (time, channels), and each channel's mean and deviation."""
        values = train.values
        mean = values.nanmean(dim=(0, 1))
        std = (values - mean).square().nanmean(dim=(0, 1)).sqrt().clamp(min=1e-6)
        return {"shape": list(values.shape[1:]), "mean": mean.tolist(), "std": std.tolist()}

    def forward(self, inputs: Tensor) -> Encoded:
        """(series, time, channels) to (series, 2 · kernels)."""
        real = ~inputs.isnan().all(dim=2)  # (series, time)
        series = ((inputs - self.mean) / self.std).nan_to_num().transpose(1, 2)
        above = inputs.new_zeros(len(inputs), self.out_dim // 2)
        highest = torch.zeros_like(above)
        for dilation in self.dilations:
            which = (self.dilation == dilation).nonzero().squeeze(1)
            answer = conv1d(
                series[:, self.channel[which]],  # (series, kernels, time)
                self.weight[which].unsqueeze(1),
                self.bias[which],
                padding=dilation * (LONGEST // 2),
                dilation=dilation,
                groups=len(which),
            )
            counted = _counted(real, self.reach[which] * self.inside[which])
            above[:, which], highest[:, which] = _pooled(answer, counted)
        return Encoded.vector(torch.cat([above, highest], dim=1), real.any(dim=1))


def _weights(lengths: Tensor, draw: torch.Generator) -> Tensor:
    """(kernels, LONGEST) of mean zero; shorter kernels lie in the middle, between zeros."""
    place = (torch.arange(LONGEST) - LONGEST // 2).abs()
    used = place <= (lengths // 2).unsqueeze(1)
    drawn = torch.where(used, torch.randn(len(lengths), LONGEST, generator=draw), 0.0)
    return torch.where(used, drawn - drawn.sum(1, keepdim=True) / lengths.unsqueeze(1), 0.0)


def _counted(real: Tensor, margin: Tensor) -> Tensor:
    """(series, kernels, time): centres at least ``margin`` (kernels,) steps inside the series."""
    step = torch.arange(real.shape[1], device=real.device)
    last = real.sum(dim=1)[:, None, None] - 1 - margin[None, :, None]
    return (step >= margin[:, None]) & (step <= last)


def _pooled(answer: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """(series, kernels) each: the share above zero, and the maximum; zeros where none counts."""
    number = counted.sum(dim=2)
    share = ((answer > 0) & counted).sum(dim=2) / number.clamp(min=1)
    highest = torch.where(counted, answer, -math.inf).amax(dim=2)
    return share.to(answer.dtype), torch.where(number > 0, highest, 0.0)


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [Rocket]
