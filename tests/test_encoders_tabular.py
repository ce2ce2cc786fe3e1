"""Encoders of tables: which columns are one field, and each encoder against its formula."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmbench.encoders._fields import fields
from mmbench.encoders.ft_transformer import FTTransformer
from mmbench.encoders.periodic import Periodic
from mmbench.optimizer import AdamW
from mmbench.testing import encoder_contract
from mmbench.types import Column, Encoded

NAN = float("nan")
TABLE = torch.tensor(
    [  # two numbers, a colour of three, a flag
        [0.5, 10.0, 1, 0, 0, 1],
        [-1.0, 30.0, 0, 1, 0, 1],
        [2.0, NAN, 0, 0, 1, 1],
        [0.1, 20.0, 0, 0, 0, 0],
        [0.7, 25.0, 1, 0, 0, 0],
    ]
)


def test_places_that_exclude_each_other_are_one_field():
    assert fields(TABLE) == [[0], [1], [2, 3, 4], [5]]
    assert fields(torch.rand(4, 3)) == [[0], [1], [2]]
    assert fields(torch.zeros(0, 2)) == [[0, 1]]


def cell(encoder, row, column):
    """A number standardised, an empty one at the mean."""
    mean, std = (float(t[column]) for t in (encoder.standardise.mean, encoder.standardise.std))
    return 0.0 if row[column].isnan() else (float(row[column]) - mean) / std


def mlp(net, x):
    return F.linear(F.gelu(F.linear(x, net[0].weight, net[0].bias)), net[2].weight, net[2].bias)


def periodic(encoder, inputs):
    """Number by number and output by output."""
    vectors = []
    for row in inputs:
        parts = []
        for at, column in enumerate((0, 1, 5)):
            x = cell(encoder, row, column)
            angles = [2 * math.pi * c * x for c in encoder.frequencies[at].tolist()]
            waves = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
            mixed = sum(w * encoder.weight[at, i] for i, w in enumerate(waves))
            parts.append((mixed + encoder.bias[at]).clamp(min=0))
        vectors.append(mlp(encoder.net, torch.cat([*parts, row[2:5]])))
    return Encoded.vector(torch.stack(vectors))


def ft_transformer(encoder, inputs):
    """A row's tokens one by one; the blocks by torch's own attention."""
    rows = []
    for row in inputs:
        tokens = [encoder.row]
        for at, column in ((0, 0), (1, 1), (3, 5)):
            token = cell(encoder, row, column) * encoder.vectors[column] + encoder.biases[at]
            tokens.append(token)
        colour = [encoder.vectors[2 + place] for place in range(3) if row[2 + place] == 1]
        tokens.insert(3, sum(colour, start=encoder.biases[2]))
        x = torch.stack(tokens)
        for block in encoder.blocks:
            x = x + attention(block, block.attention_norm(x))
            x = x + mlp(block.feed, block.feed_norm(x))
        rows.append(encoder.norm(x))
    tokens = torch.stack(rows)
    return Encoded(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool), tokens[:, 0])


def attention(block, x):
    mixed, _ = F.multi_head_attention_forward(
        x, x, x, x.shape[1], 4,
        block.query_key_value.weight, block.query_key_value.bias, None, None, False, 0.0,
        block.out.weight, block.out.bias,
    )  # fmt: skip
    return mixed


TestPeriodic = encoder_contract(Periodic, Column(TABLE), reference=periodic)
TestFTTransformer = encoder_contract(
    FTTransformer, Column(TABLE), reference=ft_transformer, width=32
)


def error_after_training(encoder: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    head = nn.Linear(encoder.out_dim, 1)
    optimizer = AdamW([*encoder.parameters(), *head.parameters()], weight_decay=0.0)
    for _ in range(150):
        loss = (head(encoder(x).pooled).squeeze(1) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(1e-2)
    return loss.item()


def test_periodic_features_fit_what_moves_fast():
    """A sine of eight cycles over the range, which a plain MLP barely follows (Rahaman 2019)."""
    from mmbench.encoders.tabular import MLP

    x = torch.linspace(-1.7, 1.7, 128).unsqueeze(1)
    y = torch.sin(16 * math.pi * x[:, 0] / 3.4)
    errors = {}
    for cls, params in ((MLP, {}), (Periodic, {"sigma": 2.0})):
        torch.manual_seed(0)
        errors[cls] = error_after_training(cls(cls.fit(Column(x)), **params), x, y)
    assert errors[Periodic] < 0.05 < 0.3 < errors[MLP]


@pytest.mark.parametrize("cls", [Periodic, FTTransformer])
def test_a_category_never_seen_is_no_error(cls):
    encoder = cls(cls.fit(Column(TABLE)))
    unseen = torch.tensor([[NAN, NAN, 1.0, 1.0, 0.0, 0.0]])
    assert encoder(unseen).pooled.isfinite().all()
