"""HyperMixer over the tokens of all modalities: a mixer whose weights come from the tokens.

Mai, Pannatier, Fehr, Chen, Marelli, Fleuret & Henderson, "HyperMixer: An MLP-based Low Cost
Alternative to Transformers", ACL 2023 (https://arxiv.org/abs/2203.03691), as a fusion: one of the
mixers that Chergui et al., "MixMAS: A Framework for Sampling-Based Mixer Architecture Search for
Multimodal Fusion and Learning", 2024 (https://arxiv.org/abs/2412.18437), choose from.
Differs from the papers: tokens of all modalities are mixed together, without a mixer for each one
before it.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions._attention import Tokens, feed_forward, joined, sinusoids
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice, Range
from mmbench.types import Features, masked_mean


class HyperMixerFusion(Fusion):
    """``S ← S + norm(W_2 GELU(W_1ᵀ N))``, ``N = norm(S)``, then ``S + MLP(norm S)``, each layer.

    S are the real tokens of all modalities, (Σ time, width), with positions and a learned vector
    for each modality. W_1 and W_2, (Σ time, hidden), hold what two perceptrons say of each token of
    N, so that any number of tokens is mixed at linear cost; ``tied``, they are one. z is the
    normalised mean over S.
    """

    name = "hyper-mixer"
    offered = "named"
    capabilities = Capabilities(handles_missing=True, interaction=True)

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
        hidden: Annotated[int, Range(8, 128, log=True)] = 32,
        layers: Annotated[int, Range(1, 4)] = 2,
        tied: Annotated[bool, Choice(False, True)] = False,  # noqa: FBT003 - the two of a switch
        dropout: Annotated[float, Range(0.0, 0.5)] = 0.0,
    ) -> None:
        super().__init__(dims)
        self.tokens = Tokens(dims, width)
        self.embedding = nn.ParameterDict({m: 0.02 * torch.randn(width) for m in dims})
        self.layers = nn.ModuleList(
            _HyperMix(width, hidden, dropout, tied=tied) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.out_dim = width

    def forward(self, features: Features) -> Tensor:
        placed = {
            m: tokens + sinusoids(tokens) + self.embedding[m]
            for m, tokens in self.tokens(features).items()
        }
        tokens, mask = joined(placed, features)  # (batch, Σ time, width)
        for layer in self.layers:
            tokens = layer(tokens, mask)
        return self.norm(masked_mean(tokens, mask))  # type: ignore[no-any-return]


class _HyperMix(nn.Module):
    """One layer: (batch, time, width) to the same; padding is read by nobody."""

    def __init__(self, width: int, hidden: int, dropout: float, *, tied: bool) -> None:
        super().__init__()
        self.norm, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.first = _perceptron(width, hidden)
        self.second = None if tied else _perceptron(width, hidden)
        self.over_units = feed_forward(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        normal = self.norm(tokens)
        first = torch.where(mask.unsqueeze(-1), self.first(normal), 0.0)  # (batch, time, hidden)
        second = first if self.second is None else self.second(normal)
        found = nn.functional.gelu(first.mT @ normal)  # (batch, hidden, width)
        tokens = tokens + self.dropout(self.norm_out(second @ found))
        return tokens + self.dropout(self.over_units(tokens))  # type: ignore[no-any-return]


def _perceptron(width: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, hidden))


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [HyperMixerFusion]
