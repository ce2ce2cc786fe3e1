"""Noise of images (images, …, height, width), of bytes or floating point; frames of videos alike.

Blur, Gaussian noise and contrast are those of Hendrycks & Dietterich ("Benchmarking Neural Network
Robustness to Common Corruptions and Perturbations", ICLR 2019) at the levels of their ImageNet-C.
Occlusion is the grey square of Cutout (DeVries & Taylor, arXiv 1708.04552, 2017).

Differs from the paper: their blur of 1, 2, 3, 4 and 6 pixels is one of as many percent of the
shorter side, so that it means the same for images of every size and is felt by small ones too.
"""

import math

import torch
from torch import Tensor

from mmbench.evaluation.robustness.noise import SHARES, Noise

BYTE = 255


def blur(images: Tensor, width: float, draw: torch.Generator) -> Tensor:  # noqa: ARG001
    """A Gaussian filter whose standard deviation is ``width`` of the shorter side."""
    from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]

    pixels = width * min(images.shape[-2:])
    smooth = gaussian_filter(images.float().numpy(), pixels, mode="nearest", axes=(-2, -1))
    return _like(torch.from_numpy(smooth), images)


def gaussian(images: Tensor, level: float, draw: torch.Generator) -> Tensor:
    """Independent noise on every number, its standard deviation in units of the full range."""
    low, high = _range(images)
    noise = torch.randn(images.shape, generator=draw)
    return _like(noise.mul_(level * (high - low)).add_(images), images)


def contrast(images: Tensor, kept: float, draw: torch.Generator) -> Tensor:  # noqa: ARG001
    """Every channel drawn towards its mean, until ``kept`` of its contrast is left."""
    values = images.float()
    mean = values.mean((-2, -1), keepdim=True)
    return _like(mean + kept * (values - mean), images)


def occlusion(images: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """A rectangle with ``share`` of the area, at a random place inside, in the middle grey."""
    place = torch.rand(len(images), 2, generator=draw)
    side = math.sqrt(share)
    covered = _band(place[:, 0], side, images.shape[-2]).unsqueeze(2) & _band(
        place[:, 1], side, images.shape[-1]
    ).unsqueeze(1)  # (images, height, width)
    between = (1,) * (images.ndim - 3)
    covered = covered.reshape(len(images), *between, *images.shape[-2:])
    return images.masked_fill(covered, _grey(images))


def _band(place: Tensor, share: float, size: int) -> Tensor:
    """(images, size) True on ``share`` of the pixels; at a wider share it covers the same ones."""
    long = round(share * size)
    start = (place * (size - long)).round().unsqueeze(1)
    pixel = torch.arange(size)
    return (pixel >= start) & (pixel < start + long)


def _range(images: Tensor) -> tuple[float, float]:
    """The darkest and the brightest that there can be, or, of other types, that there are."""
    if images.dtype == torch.uint8:
        return 0.0, float(BYTE)
    return images.min().item(), images.max().item()


def _grey(images: Tensor) -> float:
    middle = sum(_range(images)) / 2
    return middle if images.is_floating_point() else int(middle)


def _like(noisy: Tensor, images: Tensor) -> Tensor:
    """Within the range of ``images`` and of their type."""
    noisy = noisy.clamp_(*_range(images))
    return (noisy if images.is_floating_point() else noisy.round_()).to(images.dtype)


IMAGE: tuple[Noise[Tensor], ...] = (
    Noise("blur", (0.01, 0.02, 0.03, 0.04, 0.06), "std, in shorter sides", blur),
    Noise("gaussian", (0.08, 0.12, 0.18, 0.26, 0.38), "std, in full ranges", gaussian),
    Noise("contrast", (0.4, 0.3, 0.2, 0.1, 0.05), "contrast left", contrast),
    Noise("occlusion", SHARES, "share of the area", occlusion),
)
