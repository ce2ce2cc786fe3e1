"""A small convolutional network, cheap enough to train dozens of times on one CPU thread.

Group normalisation (Wu & He, ECCV 2018) rather than batch normalisation: an image's features do not
depend on its batch mates. The pooled vector reads the mean *and* the maximum of the grid: the mean
says how much of a thing there is, the maximum that it is there at all.
"""

from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._image import ImageEncoder, grid_places, grid_tokens, pad_to_multiple
from mmbench.encoders._training_column import Standardise
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice, Range
from mmbench.types import Encoded

GROUPS = 4
STEM, BODY = 32, 64  # channels


class CNN(ImageEncoder):
    """A patch-wise stem, then 3×3 convolutions with stride 1 and 2 in turn."""

    name = "cnn"
    batched = False  # a convolution by groups takes longer than one for each member

    def __init__(
        self,
        fitted: Fitted,
        *,
        width: Annotated[int, Range(32, 256, log=True)] = 64,
        depth: Annotated[int, Choice(2, 3, 4)] = 2,
    ) -> None:
        super().__init__(fitted)
        channels, height, breadth = fitted["shape"]
        self.standardise = Standardise(fitted, trailing=2)
        self.patch = 4 if min(height, breadth) >= 32 else 2
        body = nn.Sequential(*self._layers(channels, depth))
        self.body = body.to(memory_format=torch.channels_last)
        self.token = nn.Linear(BODY, width)
        angle = torch.arange(width).float()
        self.place = nn.Parameter(torch.stack([angle.cos(), angle.sin()]))  # of a cell, added
        self.pool = nn.Linear(2 * BODY, width)
        self.out_dim = width

    def _layers(self, channels: int, depth: int) -> Iterator[nn.Module]:
        yield nn.Conv2d(channels, STEM, self.patch, stride=self.patch)
        yield from (nn.GroupNorm(GROUPS, STEM), nn.ReLU())
        inner = STEM
        for layer in range(depth):
            outer = STEM if layer == 0 else BODY
            yield nn.Conv2d(inner, outer, 3, stride=1 + layer % 2, padding=1, bias=False)
            yield from (nn.GroupNorm(GROUPS, outer), nn.ReLU())
            inner = outer

    def forward(self, inputs: Tensor) -> Encoded:
        """Tokens (images, height × width, width) are the cells of the last grid, with places."""
        _, grid = self.maps(inputs)
        cells = grid_tokens(grid)  # (images, cells, channels)
        return self.encoded(cells, self.token(cells) + grid_places(grid) @ self.place)

    def maps(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The images as the network reads them, and its last grid: (images, channels, …) each."""
        images = pad_to_multiple(self.standardise(inputs), self.patch)
        return images, self.body(images.contiguous(memory_format=torch.channels_last))

    def encoded(self, cells: Tensor, tokens: Tensor) -> Encoded:
        """These tokens beside what is pooled of the cells."""
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Encoded(tokens, mask, self.pool(torch.cat([cells.mean(1), cells.amax(1)], dim=1)))


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [CNN]
