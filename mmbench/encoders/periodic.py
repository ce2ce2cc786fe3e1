"""Periodic embeddings of numbers, each followed by a linear layer and a ReLU (PLR), then an MLP.

Gorishniy, Rubachev & Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning",
NeurIPS 2022 (https://arxiv.org/abs/2203.05556).
Differs from the paper: numbers are standardised, not transformed to quantiles.
"""

import math
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._fields import FieldEncoder, uniform
from mmbench.hookspecs import hookimpl
from mmbench.space import Range
from mmbench.types import Encoded


class Periodic(FieldEncoder):
    """Sines and cosines of each number, mixed by weights of its own; categories as they are.

    ``sigma``: the spread of the frequencies as they begin, in cycles per standard deviation of the
    number: the larger, the more a small difference may matter.
    """

    name = "periodic"

    def __init__(
        self,
        fitted: Fitted,
        *,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
        sigma: Annotated[float, Range(0.01, 10.0, log=True)] = 0.1,
        frequencies: int = 16,
        embedding: int = 16,
    ) -> None:
        super().__init__(fitted)
        n = len(self.numbers)
        self.frequencies = nn.Parameter(sigma * torch.randn(n, frequencies))
        self.weight = uniform(n, 2 * frequencies, embedding, fan_in=2 * frequencies)
        self.bias = uniform(n, embedding, fan_in=2 * frequencies)
        self.net = nn.Sequential(
            nn.Linear(n * embedding + len(self.places), width), nn.GELU(), nn.Linear(width, width)
        )
        self.out_dim = width

    def forward(self, inputs: Tensor) -> Encoded:
        cells = self.cells(inputs)
        angles = 2 * math.pi * self.frequencies * cells[:, self.numbers].unsqueeze(-1)
        waves = torch.cat([angles.sin(), angles.cos()], dim=-1)  # (rows, numbers, 2 frequencies)
        embedded = torch.einsum("rni,nio->rno", waves, self.weight) + self.bias
        row = torch.cat([embedded.relu().flatten(1), cells[:, self.places]], dim=1)
        return Encoded.vector(self.net(row))


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [Periodic]
