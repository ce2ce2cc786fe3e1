"""A kind of noise at five severities, and the shares that many kinds are measured in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

V = TypeVar("V")

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Of words, cells, steps or area: severities 1 to 5 of what is measured as a share."""
SEVERITIES = range(6)
"""Hendrycks & Dietterich (ICLR 2019) have 1 to 5; 0, the identity, starts the curve."""


@dataclass(frozen=True, slots=True)
class Noise(Generic[V]):
    """What can befall the values of a column, each distinct value once."""

    name: str
    levels: tuple[float, float, float, float, float]
    """How strong severities 1 to 5 are, in ``unit``."""
    unit: str
    apply: Callable[[V, float, torch.Generator], V]
    """New values of the same type and shape, from values, a level and a stream."""

    def __call__(self, values: V, severity: int, draw: torch.Generator) -> V:
        """The values disturbed; severity 0 gives them back as they are."""
        return values if severity == 0 else self.apply(values, self.levels[severity - 1], draw)
