"""Heads keep the contract and compute their formula."""

import math

import pytest
import torch

from mmbench.heads.cosine import CosineHead
from mmbench.heads.linear import LinearHead
from mmbench.heads.mlp import MLPHead
from mmbench.optimizer import AdamW
from mmbench.testing import check_head, head_checks


@pytest.mark.parametrize("check", head_checks(), ids=lambda c: c.__name__)
@pytest.mark.parametrize("cls", [CosineHead, LinearHead, MLPHead], ids=lambda c: c.name)
def test_contract(cls, check):
    check(cls)


def test_the_contract_holds_with_dropout():
    check_head(MLPHead, dropout=0.5, width=16)


def affine(layer, x):
    return [
        sum(w * v for w, v in zip(row, x, strict=True)) + b
        for row, b in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
    ]


def test_linear_is_a_weighted_sum_and_a_bias():
    head, x = LinearHead(4, 3).double(), torch.randn(2, 4, dtype=torch.float64)
    expected = [affine(head.linear, row) for row in x.tolist()]
    torch.testing.assert_close(head(x), torch.tensor(expected, dtype=torch.float64))


def test_mlp_is_two_layers_around_a_gelu():
    head, x = MLPHead(4, 3, width=16).double().eval(), torch.randn(2, 4, dtype=torch.float64)
    first, _, _, second = head.layers

    def formula(row):
        hidden = [0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in affine(first, row)]
        return affine(second, hidden)

    expected = [formula(row) for row in x.tolist()]
    torch.testing.assert_close(head(x), torch.tensor(expected, dtype=torch.float64))


def test_mlp_drops_out_in_training_only():
    head, x = MLPHead(4, 3, dropout=0.5), torch.randn(8, 4)
    assert not torch.equal(head(x), head(x))
    head.eval()
    assert torch.equal(head(x), head(x))


def test_mlp_learns_what_linear_cannot():
    x = torch.tensor([[-1.0, -1], [-1, 1], [1, -1], [1, 1]]).repeat(8, 1)
    target = (x[:, 0] != x[:, 1]).long()
    reached = {}
    for cls in (LinearHead, MLPHead):
        torch.manual_seed(0)
        head = cls(2, 2)
        optimizer = AdamW(head.parameters(), weight_decay=0.0)
        for _ in range(200):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(head(x), target).backward()
            optimizer.step(0.02)
        reached[cls] = (head.eval()(x).argmax(1) == target).float().mean().item()
    assert reached[MLPHead] == 1
    assert reached[LinearHead] <= 0.75


def test_cosine_is_the_scaled_cosine_of_the_angle():
    head, x = CosineHead(4, 3, scale=20.0).double(), torch.randn(2, 4, dtype=torch.float64)
    expected = [
        [
            20
            * sum(w * v for w, v in zip(row, z, strict=True))
            / (math.hypot(*row) * math.hypot(*z))
            for row in head.weight.tolist()
        ]
        for z in x.tolist()
    ]
    torch.testing.assert_close(
        head(x), torch.tensor(expected, dtype=torch.float64), rtol=1e-4, atol=1e-4
    )


def test_cosine_hears_neither_the_length_of_features_nor_of_weights():
    head, x = CosineHead(4, 3).double(), torch.randn(2, 4, dtype=torch.float64)
    before = head(x)
    with torch.no_grad():
        head.weight *= 50
    torch.testing.assert_close(head(50 * x), before, rtol=1e-4, atol=1e-4)


def test_cosine_of_a_zero_vector_is_zero_with_a_moderate_slope():
    head, x = CosineHead(4, 3), torch.zeros(1, 4, requires_grad=True)
    head(x).sum().backward()
    assert (head(x) == 0).all()
    assert x.grad.abs().max() < 10 * 3 / 1e-3
