"""Images and videos shifted and mirrored (Krizhevsky, Sutskever & Hinton, NeurIPS 2012)."""

import torch
from torch import Tensor, nn


class Shift(nn.Module):
    """Moved by at most a share of each side; what the edge showed fills the rest.

    A random crop as the paper makes one, but of the image's own size. All frames of a video move
    alike.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, images: Tensor) -> Tensor:
        """(images, …, height, width) to the same, of any type of number."""
        return self._along(-1, self._along(-2, images)) if self.training else images

    def _along(self, dim: int, images: Tensor) -> Tensor:
        n, size = len(images), images.shape[dim]
        draw = torch.rand(n, 1, device=images.device)
        offset = ((2 * draw - 1) * self.share * size).round().long()
        taken = (torch.arange(size, device=images.device) + offset).clamp(0, size - 1)
        shape = [n, *[1] * (images.ndim - 1)]
        shape[dim] = size
        return images.gather(dim, taken.view(shape).expand(images.shape))


class Mirror(nn.Module):
    """A share of the images with left and right exchanged."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, images: Tensor) -> Tensor:
        """(images, …, height, width) to the same."""
        if not self.training:
            return images
        shape = [len(images), *[1] * (images.ndim - 1)]
        mirrored = torch.rand(shape, device=images.device) < self.share
        return torch.where(mirrored, images.flip(-1), images)
