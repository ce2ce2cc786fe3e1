"""Hand-made image features: oriented gradients in a fine grid, and which colours there are.

Dalal & Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005; Swain & Ballard,
"Color Indexing", IJCV 1991. For drawings and icons, whose colours say much and lie anywhere.

Differs from the papers: each cell is normalised by itself, not in overlapping blocks; colours count
by the root of their share (Arandjelović & Zisserman, CVPR 2012), so that small patches are seen.
"""

from typing import Annotated, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._image import ImageEncoder
from mmbench.encoders._length import to_length
from mmbench.encoders._training_column import SAMPLE, number_sample
from mmbench.encoders.hog import oriented_edges
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice
from mmbench.types import Column, Encoded

GRIDS = (4, 8)
SHADES = 4  # of each channel
JOINT = 3
"""More channels than these are counted each by itself: of all together there would be too many."""
FAINT = 1e-3
"""Of a cell's gradients, where the image goes from 0 to 1: what lies below is no edge."""
TINY = 1e-12


class HOGColours(ImageEncoder):
    """``cells² · 9`` numbers of edges and ``4^channels`` of colours, each part of length one.

    Both together less their mean over training images, brought to one length.
    """

    name = "hog-colours"
    emits_sequences = False
    frozen = True

    def __init__(self, fitted: Fitted, *, cells: Annotated[int, Choice(*GRIDS)] = 8) -> None:
        super().__init__(fitted)
        self.cells = cells
        self.register_buffer("low", torch.tensor(fitted["low"]))
        self.register_buffer("high", torch.tensor(fitted["high"]))
        self.register_buffer("centre", torch.tensor(fitted["centres"][str(cells)]))
        self.low: Tensor
        self.high: Tensor
        self.centre: Tensor
        self.out_dim = len(self.centre)

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """The range of each channel, and the mean of the features for each grid."""
        images = number_sample(train, SAMPLE)
        found: dict[str, Any] = dict(super().fit(train))
        if images.dtype == torch.uint8:
            low, high = torch.zeros(images.shape[1]), torch.full((images.shape[1],), 255.0)
        else:
            low, high = (f(images.float(), dim=(0, 2, 3)) for f in (torch.amin, torch.amax))
        centres = {str(n): parts(images, low, high, n).mean(0).tolist() for n in GRIDS}
        return {**found, "low": low.tolist(), "high": high.tolist(), "centres": centres}

    def forward(self, inputs: Tensor) -> Encoded:
        found = parts(inputs, self.low, self.high, self.cells) - self.centre
        return to_length(Encoded.vector(found))


def parts(images: Tensor, low: Tensor, high: Tensor, cells: int) -> Tensor:
    """(images, edges + colours), each part of length one."""
    low, high = (t[:, None, None] for t in (low, high))
    scaled = ((images.to(low.dtype) - low) / (high - low).clamp(min=TINY)).clamp(0, 1)
    grid = F.adaptive_avg_pool2d(oriented_edges(scaled), cells)  # (images, bins, cells, cells)
    edges = grid / (grid.square().sum(1, keepdim=True) + FAINT**2).sqrt()
    return torch.cat([F.normalize(edges.flatten(1)), colours(scaled)], dim=1)


def colours(scaled: Tensor) -> Tensor:
    """(images, shades): the root of each colour's share of the pixels; of length one.

    ``scaled`` (images, channels, height, width) goes from 0 to 1.
    """
    shades = (scaled * SHADES).long().clamp(max=SHADES - 1).flatten(2)  # (images, channels, pixels)
    channels = shades.shape[1]
    if channels > JOINT:
        shares = [_shares(shades[:, c], SHADES) for c in range(channels)]
        return (torch.cat(shares, dim=1) / channels).sqrt().to(scaled.dtype)
    place = SHADES ** torch.arange(channels, device=scaled.device)
    codes = (shades * place[:, None]).sum(1)
    return _shares(codes, SHADES**channels).sqrt().to(scaled.dtype)


def _shares(codes: Tensor, n: int) -> Tensor:
    """(images, n) of (images, pixels): which share of the pixels has each code."""
    each = torch.full(codes.shape, 1 / codes.shape[1], device=codes.device)
    return torch.zeros(codes.shape[0], n, device=codes.device).scatter_add(1, codes, each)


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [HOGColours]
