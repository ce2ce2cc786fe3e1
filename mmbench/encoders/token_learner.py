"""A few learned tokens instead of all cells of a convolutional network's grid.

Ryoo, Piergiovanni, Arnab, Dehghani & Angelova, "TokenLearner: What Can 8 Learned Tokens Do for
Images and Videos?", NeurIPS 2021 (https://arxiv.org/abs/2106.11297).
Differs from the paper: weights are a softmax over the cells of one linear map (the paper's gates
are sigmoids of convolutions); each cell's place is averaged along with it, so that a token says
where what it found is (the soft arg-max of Levine, Finn, Darrell & Abbeel, "End-to-End Training of
Deep Visuomotor Policies", JMLR 2016); and so is its mean pixel, by which maps differ at the start:
random features of convolutions tell colours apart late. A learned name says which map found it.
"""

from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._image import grid_places, grid_tokens
from mmbench.encoders.cnn import BODY, CNN
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice, Range
from mmbench.types import Encoded


class TokenLearner(CNN):
    """Tokens are weighted means of cells and of their places; the pooled vector is that of cnn.

    Fusions that relate each token to each other one are quick over eight of them.
    """

    name = "token-learner"
    offered = "named"

    def __init__(
        self,
        fitted: Fitted,
        *,
        width: Annotated[int, Range(32, 256, log=True)] = 64,
        depth: Annotated[int, Choice(2, 3, 4)] = 2,
        tokens: Annotated[int, Choice(4, 8, 16)] = 8,
    ) -> None:
        super().__init__(fitted, width=width, depth=depth)
        channels = fitted["shape"][0]
        self.where, self.seen = nn.Linear(BODY + channels, tokens), nn.Linear(channels, width)
        self.names = nn.Parameter(torch.randn(tokens, width))  # which map found it
        nn.init.normal_(self.where.weight[:, BODY:])
        nn.init.zeros_(self.where.weight[:, :BODY])

    def forward(self, inputs: Tensor) -> Encoded:
        images, grid = self.maps(inputs)
        cells, places = grid_tokens(grid), grid_places(grid)
        pixels = grid_tokens(F.adaptive_avg_pool2d(images, (grid.shape[-2], grid.shape[-1])))
        maps = self.where(torch.cat([cells, pixels], dim=2))  # (images, cells, tokens)
        weights = maps.softmax(dim=1).transpose(1, 2)
        found = self.token(weights @ cells) + self.seen(weights @ pixels)
        return self.encoded(cells, found + weights @ places @ self.place + self.names)


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [TokenLearner]
