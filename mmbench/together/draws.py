"""Random numbers of a batched model: each member draws from a stream of its own.

A model that trains alone draws dropout masks and noise from torch's global generator, which
``mmbench.seeds`` sets to the stream of its seed. Here the same functions, called once for K
members, draw once from each member's generator: on a CPU the same numbers in the same order. What
draws by other functions raises: such a model is trained alone.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mmbench.together.side_by_side import by_hand, gathered, spread

Generators = Sequence[torch.Generator]


class Rates(tuple[float, ...]):
    """The dropout rate of each member, in the place of a module's one rate."""

    __slots__ = ()


def _drawn(like: Tensor, fill: Callable[[Tensor, int], object]) -> Tensor:
    """``fill`` writes what a member draws into a tensor (members, …) as ``like`` is in memory."""
    drawn = torch.empty_like(like)
    with by_hand():
        for member, row in enumerate(drawn):
            fill(row, member)
    return spread(drawn)


def dropout(
    generators: Generators,
    x: Tensor,
    p: float | Rates = 0.5,
    training: bool = True,  # noqa: FBT001, FBT002 - torch's signature
    inplace: bool = False,  # noqa: ARG001, FBT001, FBT002
) -> Tensor:
    """As torch's own on a CPU: times 0 or ``1 / (1 - p)``; nothing is drawn where p is 0."""
    rates = p if isinstance(p, Rates) else (p,) * len(generators)
    if not training or not any(rates):
        return x

    def fill(row: Tensor, member: int) -> None:
        if rates[member] in (0, 1):
            row.fill_(1 - rates[member])
            return
        kept = 1 - rates[member]
        row.bernoulli_(kept, generator=generators[member]).div_(kept)

    return x * _drawn(gathered(x, len(generators)), fill)


def rand_like(generators: Generators, x: Tensor, **options: Any) -> Tensor:
    return _uniform(generators, _like(generators, x, **options))


def rand(generators: Generators, *size: Any, **options: Any) -> Tensor:
    return _uniform(generators, _like(generators, torch.empty(*size, **options)))


def _uniform(generators: Generators, like: Tensor) -> Tensor:
    return _drawn(like, lambda row, k: row.uniform_(generator=generators[k]))


def randn_like(generators: Generators, x: Tensor, **options: Any) -> Tensor:
    like = _like(generators, x, **options)
    return _drawn(like, lambda row, k: row.normal_(generator=generators[k]))


def _like(generators: Generators, x: Tensor, dtype: torch.dtype | None = None, **_: Any) -> Tensor:
    """(members, …), in memory as ``x`` is: torch fills in that order. Never read."""
    whole = gathered(x, len(generators))
    return torch.empty_like(whole, dtype=dtype or x.dtype)
