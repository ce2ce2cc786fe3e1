"""One pre-norm transformer block, and positions.

Vaswani et al., NeurIPS 2017; normalised first as in Xiong et al., ICML 2020.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEADS = 4


class Block(nn.Module):
    """Self-attention and a feed-forward layer of twice the width, each added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.feed = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """(batch, time, width) to the same; no token attends to one whose mask is False."""
        heads = self.query_key_value(self.attention_norm(tokens)).unflatten(-1, (3, HEADS, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each (batch, head, time, width / heads)
        seen = None if mask is None else mask[:, None, None, :]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        tokens = tokens + self.out(mixed.transpose(1, 2).flatten(2))
        fed: Tensor = tokens + self.feed(self.feed_norm(tokens))
        return fed


def sinusoids(time: int, width: int) -> Tensor:
    """(time, width): sines in the first half, cosines in the second, wavelengths 2π to 20,000π."""
    rates = torch.exp(torch.arange(width // 2) * (-math.log(10_000.0) / (width // 2)))
    angles = torch.arange(time).unsqueeze(1) * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
