"""Each layer over all members gives what it gives each of them alone, and the same gradients."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mmbench.together.kernels import ONEDNN
from mmbench.together.members import Members
from mmbench.together.side_by_side import gathered, side_by_side, spread

K, ROWS = 3, 5
Layer = Callable[..., Tensor]
MIXED = torch.tensor([True, False, True, True, False]).unsqueeze(1)


def draw(*shape: int) -> Tensor:
    return torch.randn(K, *shape, dtype=torch.float64)


LAYERS: dict[str, tuple[Layer, tuple[Tensor, ...]]] = {
    "linear": (F.linear, (draw(ROWS, 4), draw(2, 4), draw(2))),
    "linear without bias": (F.linear, (draw(ROWS, 4), draw(2, 4))),
    "linear of sequences": (F.linear, (draw(ROWS, 6, 4), draw(2, 4), draw(2))),
    "layer norm": (lambda x, w, b: F.layer_norm(x, (4,), w, b), (draw(ROWS, 4), draw(4), draw(4))),
    "prod": (lambda x: x.prod(dim=1), (draw(ROWS, 3, 4),)),
    "where all": (lambda x: torch.where(torch.ones(ROWS, 1).bool(), x, 0.0), (draw(ROWS, 4),)),
    "where all, wider": (lambda x: torch.where(torch.ones(ROWS, 1).bool(), x, 0.0), (draw(1, 9),)),
    "where some": (lambda x: torch.where(MIXED, x, 1.0), (draw(ROWS, 4),)),
    "where of numbers": (lambda x: torch.where(MIXED, 1.0, x), (draw(ROWS, 4),)),
    "where spread out": (lambda x: torch.where(MIXED | True, x, 0.0), (draw(1, 4),)),
    "cross-entropy": (lambda x: F.cross_entropy(x, torch.arange(ROWS) % 4), (draw(ROWS, 4),)),
}


def at_once(layer: Layer, given: tuple[Tensor, ...]) -> Tensor:
    with side_by_side(K), Members([torch.Generator() for _ in range(K)]):
        return gathered(layer(*(spread(t) for t in given)), K)


@pytest.mark.parametrize("name", LAYERS)
def test_all_members_at_once_are_each_alone(name: str) -> None:
    layer, given = LAYERS[name]
    given = tuple(t.requires_grad_() for t in given)
    together = at_once(layer, given)
    alone = torch.stack([layer(*(t[k] for t in given)) for k in range(K)])
    torch.testing.assert_close(together, alone)
    weights = torch.randn_like(alone)
    torch.testing.assert_close(
        torch.autograd.grad((together * weights).sum(), given),
        torch.autograd.grad((alone * weights).sum(), given),
    )


@pytest.mark.skipif(not ONEDNN, reason="torch was built without oneDNN")
@pytest.mark.parametrize("shape", [(ROWS, 4), (ROWS, 6, 4), (4,)])
@pytest.mark.parametrize("biased", [True, False])
def test_what_all_members_share_is_multiplied_once(
    shape: tuple[int, ...], biased: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, weights = torch.randn(shape), [draw(2, 4).float()] + [draw(2).float()] * biased
    given = tuple(t.requires_grad_() for t in weights)
    for batched in ("bmm", "baddbmm"):
        monkeypatch.setattr(torch, batched, None)
    together = at_once(partial(F.linear, shared), given)
    alone = torch.stack([F.linear(shared, *(t[k] for t in given)) for k in range(K)])
    torch.testing.assert_close(together, alone)
    slopes = torch.randn_like(alone)
    torch.testing.assert_close(
        torch.autograd.grad((together * slopes).sum(), given),
        torch.autograd.grad((alone * slopes).sum(), given),
    )


def test_a_bias_that_all_members_share_has_the_gradient_of_all() -> None:
    shared, weight, bias = torch.randn(ROWS, 4), draw(2, 4).float(), torch.randn(2)
    given = (weight.requires_grad_(), bias.requires_grad_())
    together = at_once(lambda w: F.linear(shared, w, bias), (weight,))
    alone = torch.stack([F.linear(shared, w, bias) for w in weight])
    torch.testing.assert_close(together, alone)
    found, expected = (torch.autograd.grad(t.square().sum(), given) for t in (together, alone))
    torch.testing.assert_close(found, expected)


def test_what_members_share_may_have_a_gradient_too() -> None:
    shared, weight = torch.randn(ROWS, 4, requires_grad=True), draw(2, 4).float()
    (found,) = torch.autograd.grad(at_once(partial(F.linear, shared), (weight,)).sum(), shared)
    torch.testing.assert_close(found, weight.sum((0, 1)).expand(ROWS, 4))


def test_half_precision_has_gradients() -> None:
    """In bfloat16 a product's gradient is of another kind than the weights."""
    x, weight = draw(ROWS, 4).float(), draw(2, 4).float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = at_once(F.linear, (x, weight))
    assert out.dtype == torch.bfloat16
    (gradient,) = torch.autograd.grad(out.float().sum(), weight)
    torch.testing.assert_close(
        gradient, x.sum(1, keepdim=True).expand(K, 2, 4), rtol=0.02, atol=0.05
    )


def test_a_mask_that_holds_everywhere_costs_no_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "broadcast_shapes", None)  # it is Python, and slower than the copy
    x = draw(ROWS, 4)
    kept = at_once(lambda x: torch.where(torch.ones(ROWS, 1).bool(), x, 0.0), (x,))
    assert kept.data_ptr() == x.data_ptr()
