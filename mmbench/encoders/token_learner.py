"""A few learned tokens instead of all cells of a convolutional network's grid.

Ryoo, Piergiovanni, Arnab, Dehghani & Angelova, "TokenLearner: What Can 8 Learned Tokens Do for
Images and Videos?", NeurIPS 2021 (https://arxiv.org/abs/2106.11297).
Differs from the paper: weights are a softmax over the cells of one linear map (the paper's gates
are sigmoids of convolutions), and each cell's place is averaged along with it: a token says where
what it found is, as the soft arg-max of Levine, Finn, Darrell & Abbeel, "End-to-End Training of
Deep Visuomotor Policies", JMLR 2016.
"""

from typing import Annotated

from torch import Tensor, nn

from mmbench.contracts import Encoder, Fitted
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
        self.where = nn.Linear(BODY, tokens)
        nn.init.normal_(self.where.weight)  # sharp: what means of all cells are is learned late

    def forward(self, inputs: Tensor) -> Encoded:
        cells, places = self.grid(inputs)
        weights = self.where(cells).softmax(dim=1).transpose(1, 2)  # (images, tokens, cells)
        return self.encoded(cells, self.token(weights @ cells) + weights @ places @ self.place)


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [TokenLearner]
