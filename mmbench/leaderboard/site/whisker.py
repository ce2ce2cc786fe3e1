"""An interval drawn to scale in a line of text: a dot and its whiskers."""

from collections.abc import Iterable
from dataclasses import dataclass

Figures = tuple[float, float, float]
"""Low, mean, high."""


@dataclass(frozen=True, slots=True)
class Whisker:
    """Places in percent of the width."""

    low: float
    mean: float
    high: float
    zero: float | None
    """Where zero lies; None if outside the scale."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The range that all intervals of one column share."""

    low: float
    high: float

    def whisker(self, figures: Figures) -> Whisker:
        low, mean, high = (self._place(value) for value in figures)
        return Whisker(low, mean, high, self._place(0.0) if self.low < 0 < self.high else None)

    def _place(self, value: float) -> float:
        return round(100 * (value - self.low) / (self.high - self.low), 2)


def scale(intervals: Iterable[Figures], *, zero: bool = False) -> Scale:
    """From the least to the greatest, with a margin; ``zero`` is inside if asked for."""
    ends = [end for low, _, high in intervals for end in (low, high)] + [0.0] * zero
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    margin = 0.04 * (high - low) or 0.5
    return Scale(low - margin, high + margin)
