"""Histograms of gradient directions and of colours: what an image shows, without training.

Dalal & Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005; Swain & Ballard,
"Color Indexing", IJCV 1991. Differs from the paper: each cell is normalised by itself.
"""

from typing import Annotated, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._image import ImageEncoder
from mmbench.encoders._training_column import SAMPLE, Standardise, number_sample
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice
from mmbench.types import Column, Encoded

ANGLES, LEVELS = 8, 4
SLOPE = 0.01
"""A cell with less gradient than this, of the training images' range, is flat."""


class HOG(ImageEncoder):
    """One vector: ``cells`` × ``cells`` histograms of eight directions, then one of colours.

    Directions are those of edges, without a sign; colours have four levels a channel.
    """

    name = "hog"
    emits_sequences = False
    frozen = True  # nothing to train

    def __init__(self, fitted: Fitted, *, cells: Annotated[int, Choice(4, 8)] = 8) -> None:
        super().__init__(fitted)
        self.cells = min(cells, *fitted["shape"][1:])
        self.standardise = Standardise(
            {"mean": [fitted["low"]], "std": [fitted["high"] - fitted["low"]]}, trailing=2
        )
        self.out_dim = self.cells**2 * ANGLES + LEVELS ** min(fitted["shape"][0], 3)

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """The shape of an image, and the darkest and the brightest value."""
        found: dict[str, Any] = dict(super().fit(train))
        images = number_sample(train, SAMPLE)
        low, high = float(images.min()), float(images.max())
        return found | {"low": low, "high": high if high > low else low + 1.0}

    def forward(self, inputs: Tensor) -> Encoded:
        images = self.standardise(inputs)  # (images, channels, height, width) from 0 to 1
        edges, colours = self.edges(images.mean(1)), colour_shares(images[:, :3])
        return Encoded.vector(torch.cat([edges, colours], dim=1))

    def edges(self, grey: Tensor) -> Tensor:
        """(images, cells² × 8) of (images, height, width); a cell's mean square is one."""
        padded = F.pad(grey.unsqueeze(1), (1, 1, 1, 1), mode="replicate").squeeze(1)
        across = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
        down = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
        angle = torch.atan2(down, across) % torch.pi
        direction = (angle * ANGLES / torch.pi).long().clamp(max=ANGLES - 1)
        size = (across.square() + down.square() + 1e-12).sqrt()
        votes = F.one_hot(direction, ANGLES).to(size.dtype).movedim(-1, 1) * size.unsqueeze(1)
        cells = F.adaptive_avg_pool2d(votes, self.cells)  # (images, angles, cells, cells)
        length = (cells.square().sum(1, keepdim=True) + SLOPE**2).sqrt()
        directed: Tensor = cells / length * ANGLES**0.5
        return directed.flatten(1)


def colour_shares(images: Tensor) -> Tensor:
    """(images, 4^channels) roots of the shares of pixels of each colour, of mean square one."""
    levels = (images * LEVELS).long().clamp(0, LEVELS - 1)
    place = torch.zeros_like(levels[:, 0])
    for channel in levels.unbind(1):
        place = place * LEVELS + channel
    counts = torch.zeros(len(images), LEVELS ** images.shape[1], device=images.device)
    counts.scatter_add_(1, place.flatten(1), torch.ones_like(place.flatten(1), dtype=counts.dtype))
    pixels = images.shape[-2] * images.shape[-1]
    return (counts / pixels * counts.shape[1]).sqrt()


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [HOG]
