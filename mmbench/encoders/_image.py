"""What the image encoders share: fitting, and making sides divisible."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._training_column import SAMPLE, number_sample, scale
from mmbench.types import Column


class ImageEncoder(Encoder):
    """Reads (images, channels, height, width), uint8 or floating point, grey or colour."""

    accepts = "image"
    emits_sequences = True

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """The shape of an image and each channel's mean and standard deviation."""
        images = number_sample(train, SAMPLE)
        if images.ndim != 4:
            raise TypeError(
                f"{cls.name} takes images (images, channels, height, width); "
                f"got {tuple(images.shape)}."
            )
        fitted: dict[str, Any] = {"shape": list(images.shape[1:]), **scale(images, 1)}
        return fitted


def from_bytes(images: Tensor) -> Tensor:
    """From 0 to 1 what is kept as bytes; numbers as they are."""
    return images / 255 if images.dtype == torch.uint8 else images


def pad_to_multiple(images: Tensor, of: int) -> Tensor:
    """Zeros on the right and below until both sides divide by ``of``."""
    height, width = images.shape[-2:]
    return F.pad(images, (0, -width % of, 0, -height % of))


def grid_tokens(grid: Tensor) -> Tensor:
    """(images, channels, height, width) to (images, height × width, channels)."""
    return grid.flatten(2).transpose(1, 2)


def grid_places(grid: Tensor) -> Tensor:
    """Where the cells of (images, channels, height, width) are: (cells, 2), each from -1 to 1."""
    height, width = grid.shape[-2:]
    down, across = (torch.linspace(-1, 1, n, device=grid.device) for n in (height, width))
    return torch.cartesian_prod(down, across).to(grid.dtype)
