"""A kernel machine as head, by random Fourier features.

Rahimi & Recht, "Random Features for Large-Scale Kernel Machines", NeurIPS 2007.
"""

import math
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.api import Head, Range, hookimpl

mmbench_api = ">=1"


class KernelHead(Head):
    """``y = W √(2/D) cos(Ω z + β) + b``: linear in D random features, of which only W and b train.

    With Ω ~ N(0, 1/(ℓ²d)) the features of z and z' have about the inner product
    ``exp(−‖z − z'‖² / (2ℓ²d))``: the length ℓ is in units of the distance to be expected of vectors
    of dimension d and unit variance.
    """

    name = "kernel"

    def __init__(
        self,
        in_dim: int,
        n_outputs: int,
        *,
        features: Annotated[int, Range(64, 1024, log=True)] = 256,
        length: Annotated[float, Range(0.2, 5.0, log=True)] = 1.0,
    ) -> None:
        super().__init__(in_dim, n_outputs)
        self.register_buffer("frequency", torch.randn(features, in_dim) / (length * in_dim**0.5))
        self.register_buffer("phase", 2 * math.pi * torch.rand(features))
        self.linear = nn.Linear(features, n_outputs)

    def features(self, fused: Tensor) -> Tensor:
        """(batch, in_dim) to (batch, features)."""
        waves = (fused @ self.frequency.T + self.phase).cos()
        return waves * (2 / len(self.phase)) ** 0.5

    def forward(self, fused: Tensor) -> Tensor:
        return self.linear(self.features(fused) * len(self.phase) ** 0.5)  # unit variance each


@hookimpl
def register_heads() -> list[type[Head]]:
    return [KernelHead]
