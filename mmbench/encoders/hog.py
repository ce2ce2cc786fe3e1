"""Hand-made image features: histograms of oriented gradients and colours over a spatial pyramid.

Dalal & Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005; the pyramid of
Lazebnik, Schmid & Ponce, "Beyond Bags of Features", CVPR 2006. Nothing trains, so features are
computed once and every trial after that is cheap: what to compare fusions on when time is short.

Differs from the paper: each cell is normalised by itself (the paper's L1-sqrt), not in overlapping
blocks, and also has the mean, the highest and the lowest value of each channel, for gradients know
no colour.
"""

import math
from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._image import ImageEncoder, from_bytes
from mmbench.encoders._training_column import SAMPLE, Standardise, number_sample, scale
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice
from mmbench.types import Column, Encoded

BINS = 9
"""Of 20° each, as in the paper: an edge from dark to light and one from light to dark are equal."""
DEEPEST = 3
TINY = 1e-6


class HistogramOfGradients(ImageEncoder):
    """One vector of ``Σ_l 4^l (9 + 3 channels)`` numbers, standardised on the training images."""

    name = "hog"
    emits_sequences = False
    frozen = True

    def __init__(self, fitted: Fitted, *, levels: Annotated[int, Choice(1, 2, 3)] = 3) -> None:
        super().__init__(fitted)
        self.levels = levels
        self.out_dim = sum(4**level for level in range(levels)) * (BINS + 3 * fitted["shape"][0])
        seen = {key: fitted["features"][key][: self.out_dim] for key in ("mean", "std")}
        self.standardise = Standardise(seen)

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """The shape of an image, and the scale of each feature."""
        fitted = super().fit(train)
        features = pyramid(number_sample(train, SAMPLE), DEEPEST)
        return {**fitted, "features": scale(features, 1)}

    def forward(self, inputs: Tensor) -> Encoded:
        return Encoded.vector(self.standardise(pyramid(inputs, self.levels)))


def pyramid(images: Tensor, levels: int) -> Tensor:
    """(images, features): the whole image first, then its quarters, then theirs."""
    return torch.cat(list(_levels(from_bytes(images), levels)), dim=1)


def _levels(images: Tensor, levels: int) -> Iterator[Tensor]:
    edges = oriented_edges(images)
    for level in range(levels):
        cells = 2**level
        histogram = F.adaptive_avg_pool2d(edges, cells)
        yield (histogram / (histogram.sum(1, keepdim=True) + TINY)).sqrt().flatten(1)
        yield F.adaptive_avg_pool2d(images, cells).flatten(1)
        yield F.adaptive_max_pool2d(images, cells).flatten(1)
        yield -F.adaptive_max_pool2d(-images, cells).flatten(1)


def oriented_edges(images: Tensor) -> Tensor:
    """(images, bins, height, width): each pixel's gradient, shared by the two nearest bins.

    By central differences, in the channel where it is the steepest.
    """
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    steepest = (across**2 + down**2).argmax(dim=1, keepdim=True)
    across, down = (d.gather(1, steepest) for d in (across, down))  # (images, 1, height, width)
    bin_ = torch.atan2(down, across).remainder(math.pi) * (BINS / math.pi)
    centres = torch.arange(BINS, device=images.device).reshape(1, -1, 1, 1)
    apart = (bin_ - centres).abs()
    near = (1 - torch.minimum(apart, BINS - apart)).clamp(min=0)  # the bins lie on a circle
    return near * torch.hypot(across, down)


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [HistogramOfGradients]
