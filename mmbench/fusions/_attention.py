"""What attention fusions share: tokens of one width, multi-head attention, pre-norm layers.

Vaswani et al., "Attention Is All You Need", NeurIPS 2017 (https://arxiv.org/abs/1706.03762), with
LayerNorm before each block as in Xiong et al., ICML 2020 (https://arxiv.org/abs/2002.04745).
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmbench.types import Encoded, Features


def real(encoded: Encoded) -> Tensor:
    """Tokens (batch, time, dim) with zeros for padding, whatever it holds."""
    return torch.where(encoded.mask.unsqueeze(-1), encoded.tokens, 0.0)


def sinusoids(tokens: Tensor) -> Tensor:
    """Fixed positions (time, width) for tokens (batch, time, width): sines, then cosines."""
    time, width = tokens.shape[-2:]
    half = (width + 1) // 2
    dtype = torch.promote_types(tokens.dtype, torch.float32)
    steps = torch.arange(time, device=tokens.device, dtype=dtype)
    rates = 10_000.0 ** (-torch.arange(half, device=tokens.device, dtype=dtype) / half)
    angles = steps.unsqueeze(1) * rates  # (time, half)
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width].to(tokens.dtype)


class Tokens(nn.Module):
    """A linear map and LayerNorm per modality to one width: {m: (batch, time of m, width)}."""

    def __init__(self, dims: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.project = nn.ModuleDict(
            {m: nn.Sequential(nn.Linear(d, width), nn.LayerNorm(width)) for m, d in dims.items()}
        )

    def forward(self, features: Features) -> dict[str, Tensor]:
        return {m: project(real(features[m])) for m, project in self.project.items()}


def joined(tokens: Mapping[str, Tensor], features: Features) -> tuple[Tensor, Tensor]:
    """All modalities one after another: tokens (batch, Σ time, width), mask (batch, Σ time)."""
    return (
        torch.cat(list(tokens.values()), dim=1),
        torch.cat([features[m].mask for m in tokens], dim=1),
    )


def led(leader: Tensor, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Learned tokens (k, width), always real, before the others: (batch, k + time, width)."""
    front = leader.expand(tokens.shape[0], *leader.shape)  # (batch, k, width)
    always = torch.ones_like(front[..., 0], dtype=torch.bool)
    return torch.cat([front, tokens], dim=1), torch.cat([always, mask], dim=1)


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scale: float) -> Tensor:
    """``softmax(scale · q kᵀ) v`` over real keys; zeros where no key is real.

    Queries (batch, queries, heads, d), keys and values (batch, keys, heads, d), mask (batch, keys);
    gives (batch, queries, heads, d).
    """
    scores = torch.einsum("bqhd,bkhd->bhqk", queries, keys) * scale
    allowed = mask[:, None, None, :]  # (batch, 1, 1, keys)
    weights = torch.where(allowed, scores, torch.finfo(scores.dtype).min).softmax(dim=-1)
    return torch.einsum("bhqk,bkhd->bqhd", weights * allowed, values)


class Attention(nn.Module):
    """Multi-head attention: (batch, queries, width) over real keys (batch, keys, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        inner = heads * (width // heads)
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, inner) for _ in range(3))
        self.out = nn.Linear(inner, width)

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        q = self.query(queries).unflatten(-1, (self.heads, -1))  # (batch, queries, heads, d)
        k = self.key(keys).unflatten(-1, (self.heads, -1))  # (batch, keys, heads, d)
        v = self.value(keys).unflatten(-1, (self.heads, -1))
        attended = attend(q, k, v, mask, q.shape[-1] ** -0.5)
        return self.out(attended.flatten(2))  # type: ignore[no-any-return]


def feed_forward(width: int, hidden: int | None = None) -> nn.Sequential:
    """LayerNorm and a perceptron with one hidden layer, twice as wide if not said otherwise."""
    hidden = hidden or 2 * width
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
    )


class Layer(nn.Module):
    """``h = q + Att(norm q, norm k)``, then ``h + FF(h)``: (batch, queries, width) to the same."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.feed_forward = feed_forward(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        normal = self.norm(keys)
        asking = normal if queries is keys else self.norm(queries)
        hidden = queries + self.dropout(self.attention(asking, normal, mask))
        return hidden + self.dropout(self.feed_forward(hidden))  # type: ignore[no-any-return]


class Transformer(nn.ModuleList):
    """Layers of self-attention: (batch, time, width) to the same, not normalised at the end."""

    def __init__(self, width: int, heads: int, layers: int, dropout: float) -> None:
        super().__init__([Layer(width, heads, dropout) for _ in range(layers)])

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        for layer in self:
            tokens = layer(tokens, tokens, mask)
        return tokens

    def first(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Only what becomes of the first token (batch, width): the last layer asks for no other."""
        *before, last = self
        for layer in before:
            tokens = layer(tokens, tokens, mask)
        return last(tokens[:, :1], tokens, mask).squeeze(1)  # type: ignore[no-any-return]
