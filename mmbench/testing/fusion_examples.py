"""What the kit feeds to a fusion: modalities of each number, unequal rows, gaps, signs."""

import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmbench.contracts import Fused, Fusion
from mmbench.testing.subject import Inputs, Subject
from mmbench.types import Encoded, masked_mean

WIDTHS = (3, 5, 4, 6)
"""Of the tokens of each modality, and in turn again."""
N_OUTPUTS = 3
"""Under a decision-level fusion."""
TIME = 6
"""Tokens of each modality, real ones and padding."""


def subjects(cls: type[Fusion], **params: Any) -> Iterator[Subject]:
    """One subject for each number of modalities it declares, up to four."""
    low, high = cls.capabilities.min_modalities, cls.capabilities.max_modalities
    for n in range(max(low, 1), max(low, min(high or 4, 4)) + 1):
        names = string.ascii_lowercase[:n]
        read = cls.reads(tuple(names), **params)
        yield subject(cls, {m: WIDTHS[names.index(m) % 4] for m in read}, **params)


def subject(
    cls: type[Fusion], dims: Mapping[str, int], *, batch: int = 4, **params: Any
) -> Subject:
    """A fusion over ``dims``; no dims at all is the constant that the framework passes."""
    if not dims:
        dims, inputs = {"constant": 1}, _encoded("constant", torch.ones(batch, 1, 1), [1])
    elif cls.capabilities.level == "decision":
        dims = dict.fromkeys(dims, N_OUTPUTS)
        inputs = {k: v for m in dims for k, v in _example(m, N_OUTPUTS, batch, 1).items()}
    else:
        inputs = {k: v for m, d in dims.items() for k, v in _example(m, d, batch, TIME).items()}
    what = f"fusion {cls.name!r} over {len(dims)} modalit{'y' if len(dims) == 1 else 'ies'}"
    return Subject(what, lambda: cls(dims, **params), inputs, caller(tuple(dims)))


def widened(cls: type[Fusion], case: Subject, width: int, /, **params: Any) -> Subject:
    """The same modalities, each of this width, and more rows."""
    dims = dict.fromkeys(modalities_of(case), width)
    return subject(cls, {} if "constant" in dims else dims, batch=32, **params)


def _example(modality: str, dim: int, batch: int, time: int) -> dict[str, Tensor]:
    lengths = [time, max(time // 3, 1), max(time // 2, 1), max(time - 1, 1)]
    return _encoded(modality, torch.randn(batch, time, dim), lengths)


def _encoded(modality: str, tokens: Tensor, lengths: list[int]) -> dict[str, Tensor]:
    """Tokens with rows of these lengths, in turn; pooled has unit variance whatever the length."""
    batch, time, dim = tokens.shape
    ends = torch.tensor([lengths[i % len(lengths)] for i in range(batch)])
    pooled = tokens[:, 0] if time == 1 else torch.randn(batch, dim)
    mask = torch.arange(time) < ends.unsqueeze(1)
    return {f"{modality}.tokens": tokens, f"{modality}.mask": mask, f"{modality}.pooled": pooled}


def caller(modalities: tuple[str, ...]) -> Callable[..., tuple[Tensor, ...]]:
    def call(fusion: Callable[..., Tensor | Fused], inputs: Inputs) -> tuple[Tensor, ...]:
        result = fusion(features_of(inputs, modalities))
        if isinstance(result, Tensor):
            return (result,)
        given = (result.vector, result.penalty, result.weights)
        return tuple(tensor for tensor in given if tensor is not None)

    return call


def features_of(inputs: Inputs, modalities: Sequence[str]) -> dict[str, Encoded]:
    """What a fusion is called with."""
    parts = ("tokens", "mask", "pooled")
    return {m: Encoded(*(inputs[f"{m}.{part}"] for part in parts)) for m in modalities}


def modalities_of(subject: Subject) -> list[str]:
    return [k.removesuffix(".tokens") for k in subject.inputs if k.endswith(".tokens")]


def junked(inputs: Inputs, junk: float) -> dict[str, Tensor]:
    """The same inputs with other values in their padding."""
    return {
        k: torch.where(inputs[k.replace(".tokens", ".mask")].unsqueeze(-1), v, junk)
        if k.endswith(".tokens")
        else v
        for k, v in inputs.items()
    }


def without(inputs: Inputs, modalities: Sequence[str]) -> dict[str, Tensor]:
    """The first two rows no longer have these modalities."""
    changed = {k: v.clone() for k, v in inputs.items()}
    for m in modalities:
        changed[f"{m}.mask"][:2] = False
        changed[f"{m}.pooled"][:2] = 0.0
    return changed


def with_junk_pooled(inputs: Inputs) -> dict[str, Tensor]:
    """The same inputs with other pooled vectors where a modality is missing."""
    present = {k: inputs[k.replace(".pooled", ".mask")].any(1) for k in inputs if "pooled" in k}
    return {
        k: torch.where(present[k].unsqueeze(1), v, 50.0) if k in present else v
        for k, v in inputs.items()
    }


def exclusive_or(case: Subject) -> tuple[dict[str, Tensor], Tensor]:
    """32 samples: the first two modalities carry a sign each, the target is whether they differ."""
    signs = torch.cartesian_prod(torch.tensor([-1.0, 1.0]), torch.tensor([-1.0, 1.0])).repeat(8, 1)
    shown = dict(zip(modalities_of(case), signs.unbind(1), strict=False))
    return showing(case, shown, len(signs)), (signs[:, 0] != signs[:, 1]).long()


def agreement(case: Subject) -> tuple[dict[str, Tensor], Tensor]:
    """32 samples: every modality carries the same sign, which is the target."""
    sign = torch.tensor([-1.0, 1.0]).repeat(16)
    return showing(case, dict.fromkeys(modalities_of(case), sign), len(sign)), (sign > 0).long()


def showing(case: Subject, signs: Mapping[str, Tensor], batch: int) -> dict[str, Tensor]:
    """Modalities whose tokens all show a sign (batch,) along (1, −1, 1, …), in a little noise."""
    inputs: dict[str, Tensor] = {}
    for m in modalities_of(case):
        _, time, dim = case.inputs[f"{m}.tokens"].shape
        tokens = 0.1 * torch.randn(batch, time, dim)
        if m in signs:
            tokens = tokens + signs[m][:, None, None] * (1.0 - 2.0 * (torch.arange(dim) % 2))
        mask = torch.ones(batch, time, dtype=torch.bool)
        inputs |= {f"{m}.tokens": tokens, f"{m}.mask": mask}
        inputs[f"{m}.pooled"] = masked_mean(tokens, mask)
    return inputs
