"""Layers over all members in one call, where ``torch.func.vmap`` takes several.

A linear layer becomes one batched matrix product that adds the bias, or one wide product where all
members read the same; layer normalisation scales and shifts in one pass. Cross-entropy needs the
same treatment because torch batches it in Python, with an import that takes longer than many a
trial. A choice by a mask that holds everywhere, as of who is present where nobody is missing, is
no choice.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionMeta, _SingleLevelFunction, once_differentiable
from torch.nn import functional as F

from mmbench.together.side_by_side import axis_of, gathered, spread

FACTORS = 8
ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
"""Whether torch was built with its products in single precision."""


def _over(members: int, together: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Hand the tensors of all members to a function that takes them all."""
    return spread(together(*(gathered(t, members) for t in tensors)))


def linear(members: int, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if axis_of(weight) is None or torch.is_autocast_enabled(x.device.type):
        return F.linear(x, weight, bias)
    if axis_of(x) is None and _is_wide(x):
        whole = None if bias is None else gathered(bias, members)
        return spread(_WideProduct.apply(x, gathered(weight, members), whole))  # type: ignore[attr-defined]
    return _over(members, _linear, *((x, weight) if bias is None else (x, weight, bias)))


def _is_wide(shared: Tensor) -> bool:
    """Whether the members' products with what they share are to be one."""
    single = shared.dtype == torch.float32 and shared.device.type == "cpu"
    return ONEDNN and single and not shared.requires_grad


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Of x (members, …, inner), weight (members, outer, inner), bias (members, outer)."""
    flat = x if x.ndim == 3 else x.reshape(len(x), -1, x.shape[-1])
    out: Tensor = _Products.apply(flat, weight, bias)  # type: ignore[attr-defined]
    return out if x.ndim == 3 else out.view(*x.shape[:-1], -1)


class _Products(_SingleLevelFunction, metaclass=FunctionMeta):
    """``x @ weight.T + bias`` of each member.

    torch's gradient of a weight lies in memory as that of its transpose, and is copied to be laid
    beside the others; this one lies as the weight does. The base is ``torch.autograd.Function``
    without its search for a rule of ``vmap``.
    """

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if bias is None:
            return torch.bmm(x, weight.mT)
        return torch.baddbmm(bias.unsqueeze(1), x, weight.mT)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            torch.bmm(gradient, weight) if of_x else None,
            torch.bmm(gradient.mT, x) if of_weight else None,
            gradient.sum(1) if of_bias else None,
        )


class _WideProduct(_SingleLevelFunction, metaclass=FunctionMeta):
    """``x @ weight.T + bias``, where all members share x: one product, as wide as all together.

    Of x (…, inner), weight (members, outer, inner), bias (members, outer); no gradient of x.
    """

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        members, outer, inner = weight.shape
        flat = None if bias is None else bias.reshape(-1)
        wide = _product(x.reshape(-1, inner), weight.reshape(-1, inner), flat)
        return wide.view(*x.shape[:-1], members, outer).movedim(-2, 0).contiguous()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        members, outer, inner = len(gradient), gradient.shape[-1], x.shape[-1]
        _, of_weight, of_bias = ctx.needs_input_grad
        own = gradient.reshape(members, -1, outer)
        rows, wide = x.reshape(-1, inner), own.mT.reshape(members * outer, -1)
        return (
            None,
            _product(wide, rows.T).view(members, outer, inner) if of_weight else None,
            own.sum(1) if of_bias else None,
        )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias`` by oneDNN, on AMD twice as fast as MKL, which torch would take."""
    found: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return found


def layer_norm(
    members: int,
    x: Tensor,
    normalized_shape: tuple[int, ...],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    def together(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        between = [1] * (x.ndim - weight.ndim)
        weight, bias = (t.view(len(t), *between, *t.shape[1:]) for t in (weight, bias))
        return torch.addcmul(bias, F.layer_norm(x, normalized_shape, eps=eps), weight)

    if weight is None or bias is None or axis_of(weight) is None:
        return F.layer_norm(x, normalized_shape, weight, bias, eps)
    return _over(members, together, x, weight, bias)


def prod(members: int, x: Tensor, *args: Any, **options: Any) -> Tensor:  # noqa: ARG001
    """Of a few factors (modalities), one by one: torch's gradient looks for zeros, and divides."""
    dim = args[0] if args else options.get("dim")
    if not isinstance(dim, int) or len(args) + len(options) > 1 or x.shape[dim] > FACTORS:
        return x.prod(*args, **options)
    return reduce(torch.mul, x.unbind(dim))


def where(members: int, condition: Tensor, *branches: Any, **options: Any) -> Tensor:
    """On a CPU a mask that holds everywhere costs no copy; a GPU would have to wait to know it."""
    match branches:
        case Tensor() as chosen, float() if chosen.numel() > condition.numel():
            mask = gathered(condition, members)
            if mask.device.type == "cpu" and mask.all():
                # ``broadcast_shapes`` is Python: its two calls took a fifteenth of a step of 16
                return torch.broadcast_tensors(chosen, condition)[0]  # type: ignore[no-any-return]
    return torch.where(condition, *branches, **options)  # type: ignore[return-value]


def cross_entropy(
    members: int,
    scores: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    **options: Any,
) -> Tensor:
    """Classes as targets, a loss per sample or their mean; anything else is left to torch."""
    plain = reduction in ("none", "mean") and options.get("ignore_index", -100) < 0
    if weight is not None or not plain or scores.ndim != 2 or target.ndim != 1:
        return F.cross_entropy(scores, target, weight, reduction=reduction, **options)

    def together(scores: Tensor, target: Tensor) -> Tensor:
        """Of scores (members, batch, classes) and target (members, batch).

        Classes last would be the slowest order: a few numbers at a time.
        """
        losses = F.cross_entropy(scores.mT, target, reduction="none", **options)
        return losses if reduction == "none" else losses.mean(1)

    return _over(members, together, scores, target)


def attention(
    members: int,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    *args: Any,
    **options: Any,
) -> Tensor:
    """The members as so many more samples."""

    def together(*tensors: Tensor) -> Tensor:
        """Each (members, batch, …, time, width)."""
        samples: Any = [t.flatten(0, 1) for t in tensors]
        mixed = F.scaled_dot_product_attention(*samples, *args, **options)
        return mixed.unflatten(0, tensors[0].shape[:2])  # type: ignore[no-any-return]

    given = (query, key, value) if attn_mask is None else (query, key, value, attn_mask)
    return _over(members, together, *given)
