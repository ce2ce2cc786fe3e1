"""Relation network: the mean of what every pair of objects says about the question.

Santoro, Raposo, Barrett, Malinowski, Pascanu, Battaglia & Lillicrap, "A simple neural network
module for relational reasoning", NeurIPS 2017 (https://arxiv.org/abs/1706.01427).
Differs from the paper: the tokens of all modalities are objects, not the cells of an image alone (a
plain vector is one object), and what is asked of an object are the pooled vectors of the *other*
modalities, as a question asks of the cells of an image; it also scales what is read of the object
(as in FiLM, Perez et al., AAAI 2018: where it is only added, it takes several times as many steps
until an object is found by its colour); the mean over pairs instead of the sum, so that its scale
does not depend on how many objects there are; LayerNorm of objects, questions, that mean and the
result; f is one layer, for the head follows.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions._attention import Tokens, joined
from mmbench.fusions._projection import pooled, presence
from mmbench.hookspecs import hookimpl
from mmbench.space import Range
from mmbench.types import Encoded, Features

SCALE = 2.0
"""How strongly a question scales at the start. Of the order of one, it tells objects apart soon."""


class RelationFusion(Fusion):
    """``z = LayerNorm(f(LayerNorm(mean_ij g(o_i, o_j, q_i))))``, over all ordered pairs of objects.

    g is a perceptron of ``layers`` layers. Its first one is
    ``ReLU((1 + S q_i) ⊙ A o_i + C q_i + B o_j)``, so that its products are of objects, not of
    pairs. Padding and missing modalities are in no pair and ask nothing; a modality that is alone
    is asked nothing. The cost grows with the square of the number of tokens.
    """

    name = "relation"
    offered = "named"
    capabilities = Capabilities(handles_missing=True, interaction=True)

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
        layers: Annotated[int, Range(2, 4)] = 2,
    ) -> None:
        super().__init__(dims)
        self.tokens, self.question = Tokens(dims, width), Tokens(dims, width)
        self.first, self.second = (nn.Linear(width, width, bias=False) for _ in range(2))
        self.asked, self.scale = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.orthogonal_(self.scale.weight, gain=SCALE)
        self.deeper = nn.ModuleList(nn.Linear(*w) for w in pairwise([width] * layers))
        self.normal, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.f = nn.Linear(width, width)
        self.out_dim = width

    def forward(self, features: Features) -> Tensor:
        tokens = self.tokens(features)
        objects, mask = joined(tokens, features)  # (batch, objects, width)
        read = [
            self.first(o) * (1 + self.scale(q)) + self.asked(q)
            for o, q in zip(tokens.values(), self._questions(features), strict=True)
        ]  # each (batch, time of m, width)
        first, second = torch.cat(read, dim=1), self.second(objects)
        related = torch.relu(first.unsqueeze(2) + second.unsqueeze(1))
        for layer in self.deeper:
            related = torch.relu(layer(related))  # (batch, objects, objects, width)
        real = mask.to(objects.dtype)
        total = torch.einsum("bijw,bi,bj->bw", related, real, real)
        mean = total / real.sum(1, keepdim=True).square().clamp(min=1)
        return self.norm(torch.relu(self.f(self.normal(mean))))  # type: ignore[no-any-return]

    def _questions(self, features: Features) -> Sequence[Tensor]:
        """For each modality what all others ask of its tokens: (batch, 1, width)."""
        whole = {m: Encoded.vector(pooled(features[m])) for m in self.dims}
        asked = torch.cat(list(self.question(whole).values()), dim=1)  # (batch, modality, width)
        asked = asked * presence(features, self.dims).unsqueeze(-1).to(asked.dtype)
        return torch.split(asked.sum(dim=1, keepdim=True) - asked, 1, dim=1)


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [RelationFusion]
