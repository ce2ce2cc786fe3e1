"""Gaussian noise on numbers, which smooths what is learnt of them.

Bishop, "Training with Noise is Equivalent to Tikhonov Regularization", Neural Computation 1995.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class GaussianNoise(nn.Module):
    """``x + strength · std · ε`` with ε ~ N(0, 1) for every number; an empty cell stays empty.

    Of sounds every sample is a number, and all have one standard deviation.
    """

    std: Tensor

    def __init__(self, strength: float, std: Sequence[float]) -> None:
        """``std``: the standard deviation of each feature in the training column."""
        super().__init__()
        self.strength = strength
        self.register_buffer("std", torch.tensor(std), persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """(values, …, features) to the same."""
        if not self.training:
            return values
        drawn = torch.randn_like(values, dtype=torch.result_type(values, self.std))
        return values + self.strength * self.std * drawn
