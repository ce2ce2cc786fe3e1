"""Relation network: the mean of what every pair of objects says about the question.

Santoro, Raposo, Barrett, Malinowski, Pascanu, Battaglia & Lillicrap, "A simple neural network
module for relational reasoning", NeurIPS 2017 (https://arxiv.org/abs/1706.01427).
Differs from the paper: the tokens of all modalities are objects, not the cells of an image alone
(a plain vector is one object), and the pooled vectors of all modalities are the question, which
also scales what is read of the first object (as in FiLM, Perez et al., AAAI 2018: where it is only
added, it takes several times as many steps until an object is found by its colour); the mean over
pairs instead of the sum, so that its scale does not depend on how many objects there are; LayerNorm
of the objects, of that mean and of the result; f is one layer, for the head follows.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions._attention import Tokens, joined
from mmbench.fusions._projection import Projection, presence
from mmbench.hookspecs import hookimpl
from mmbench.space import Range
from mmbench.types import Features


class RelationFusion(Fusion):
    """``z = LayerNorm(f(LayerNorm(mean_ij g(o_i, o_j, q))))``, over all ordered pairs of objects.

    g is a perceptron of ``layers`` layers. Its first one is
    ``ReLU((1 + S q) ⊙ A o_i + B o_j + C q)``, so that its products are of objects, not of pairs.
    Padding and missing modalities are in no pair and in no question. The cost grows with the square
    of the number of tokens.
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
        self.tokens = Tokens(dims, width)
        self.asked, self.scale = Projection(dims, width), Projection(dims, width)
        self.first, self.second = (nn.Linear(width, width, bias=False) for _ in range(2))
        self.deeper = nn.ModuleList(nn.Linear(*w) for w in pairwise([width] * layers))
        self.pooled, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.f = nn.Linear(width, width)
        self.out_dim = width

    def forward(self, features: Features) -> Tensor:
        objects, mask = joined(self.tokens(features), features)  # (batch, objects, width)
        asked, scale = (self._summed(q, features) for q in (self.asked, self.scale))
        first = self.first(objects) * (1 + scale) + asked
        related = torch.relu(first.unsqueeze(2) + self.second(objects).unsqueeze(1))
        for layer in self.deeper:
            related = torch.relu(layer(related))  # (batch, objects, objects, width)
        real = mask.to(objects.dtype)
        total = torch.einsum("bijw,bi,bj->bw", related, real, real)
        mean = total / real.sum(1, keepdim=True).square().clamp(min=1)
        return self.norm(torch.relu(self.f(self.pooled(mean))))  # type: ignore[no-any-return]

    def _summed(self, question: Projection, features: Features) -> Tensor:
        """A linear map of the pooled vectors of all that is present: (batch, 1, width)."""
        mapped = question(features)  # (batch, modality, width)
        present = presence(features, self.dims).to(mapped.dtype)
        return torch.einsum("bm,bmw->bw", present, mapped).unsqueeze(1)


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [RelationFusion]
