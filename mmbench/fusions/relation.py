"""Relation network: what every pair of objects says about the question, summed.

Santoro, Raposo, Barrett, Malinowski, Pascanu, Battaglia & Lillicrap, "A simple neural network
module for relational reasoning", NeurIPS 2017 (https://arxiv.org/abs/1706.01427).
Differs from the paper: the tokens of all modalities are objects, not the cells of an image alone
(a plain vector is one object), and the pooled vectors of all modalities are the question; the mean
over pairs instead of the sum, so that its scale does not depend on how many objects there are;
LayerNorm of the objects, of that mean and of the result; f is one layer, for the head follows.
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

    g is a perceptron of ``layers`` layers. Its first one is linear in each of its three arguments,
    so that it is taken of objects, not of pairs. Padding and missing modalities are in no pair and
    in no question. The cost grows with the square of the number of tokens.
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
        self.question = Projection(dims, width)
        self.first, self.second = (nn.Linear(width, width, bias=False) for _ in range(2))
        self.deeper = nn.ModuleList(nn.Linear(*w) for w in pairwise([width] * layers))
        self.pooled, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.f = nn.Linear(width, width)
        self.out_dim = width

    def forward(self, features: Features) -> Tensor:
        objects, mask = joined(self.tokens(features), features)
        left = self.first(objects) + self._asked(features).unsqueeze(1)  # (batch, objects, width)
        related = torch.relu(left.unsqueeze(2) + self.second(objects).unsqueeze(1))
        for layer in self.deeper:
            related = torch.relu(layer(related))  # (batch, objects, objects, width)
        real = mask.to(objects.dtype)
        total = torch.einsum("bijw,bi,bj->bw", related, real, real)
        mean = total / real.sum(1, keepdim=True).square().clamp(min=1)
        return self.norm(torch.relu(self.f(self.pooled(mean))))  # type: ignore[no-any-return]

    def _asked(self, features: Features) -> Tensor:
        """What the pooled vectors of all that is present add to the first layer: (batch, width)."""
        present = presence(features, self.dims)  # (batch, modality)
        return torch.einsum("bm,bmw->bw", present.to(self.f.weight.dtype), self.question(features))


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [RelationFusion]
