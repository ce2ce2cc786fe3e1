"""Which of many configurations differ: paired resampling of test rows and seeds, Holm's correction.

All configurations are scored on the same resamples of sources and seeds (see ``intervals``), so
what is hard for all, or lucky for all, cancels out of their differences. The p-value of a
difference is the share of resamples on the wrong side of zero, doubled (Efron & Tibshirani, "An
Introduction to the Bootstrap", 1993, chapter 15); many at once are corrected by Holm ("A simple
sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmbench.contracts import Metric
from mmbench.evaluation.intervals import (
    Interval,
    Resampler,
    affordable,
    draws,
    gain_draws,
    mean_over_drawn,
    plain_mean,
)
from mmbench.seeds import stream

RESAMPLES = 10_000
"""Holm multiplies the smallest p-value by the number of tests: it must be able to be small."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better one is than another; positive is better, whichever way the metric points."""

    gain: Interval
    p: float
    """Two-sided, not corrected."""


class Resampled:
    """The metric of every configuration, averaged over seeds, on the same resamples."""

    def __init__(
        self,
        metric: Metric,
        scores: Mapping[str, Sequence[Tensor]],
        target: Tensor,
        source: Tensor | None,
        *,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> None:
        """``scores``: for each name one (rows, n_outputs) per seed, the same seeds for all."""
        counts = {len(per_seed) for per_seed in scores.values()}
        if len(counts) != 1:
            raise ValueError(f"Paired tests take the same seeds for all; got {sorted(counts)}.")
        self.sign = 1.0 if metric.higher_is_better else -1.0
        self.plain = {name: plain_mean(metric, s, target) for name, s in scores.items()}
        self.drawn = self._draw(metric, scores, target, source, resamples, seed)

    def _draw(
        self,
        metric: Metric,
        scores: Mapping[str, Sequence[Tensor]],
        target: Tensor,
        source: Tensor | None,
        resamples: int,
        seed: int,
    ) -> dict[str, Tensor]:
        """(resamples,) by name."""
        everyone = [s for per_seed in scores.values() for s in per_seed]
        n_seeds = len(everyone) // len(scores)
        resampler, generator = (
            Resampler(metric, everyone, target, source),
            stream(seed, "bootstrap"),
        )
        parts: dict[str, list[Tensor]] = {name: [] for name in scores}
        for weights in draws(resampler.n_sources, affordable(metric, resamples), generator):
            values = resampler.scores(weights)  # (chunk, names × seeds)
            drawn = torch.randint(n_seeds, (len(weights), n_seeds), generator=generator)
            for name, own in zip(scores, values.split(n_seeds, dim=1), strict=True):
                parts[name].append(mean_over_drawn(own, drawn))
        return {name: torch.cat(pieces) for name, pieces in parts.items()}

    def difference(self, one: str, other: str, *, level: float = 0.95) -> Difference:
        """How much better ``one`` is than ``other``."""
        gains = self.sign * (self.drawn[one] - self.drawn[other])
        return _difference(self.sign * (self.plain[one] - self.plain[other]), gains, level)


def difference_of_unlike_seeds(
    metric: Metric,
    one: Sequence[Tensor],
    other: Sequence[Tensor],
    target: Tensor,
    source: Tensor | None,
) -> Difference:
    """How much better ``one`` is, where the seeds of the two have nothing in common."""
    gain, drawn = gain_draws(metric, one, other, target, source, resamples=RESAMPLES, seed=0)
    return _difference(gain, drawn, 0.95)


def _difference(gain: float, gains: Tensor, level: float) -> Difference:
    """From the gain on each resample (resamples,) to its interval and p-value."""
    gains = gains[~gains.isnan()]  # a metric may be undefined where a class was not drawn
    tail = (1 - level) / 2
    low, high = gains.quantile(torch.tensor([tail, 1 - tail], dtype=gains.dtype)).tolist()
    wrong = min(int((gains <= 0).sum()), int((gains >= 0).sum()))
    return Difference(Interval(gain, low, high), min(1.0, 2 * (wrong + 1) / (len(gains) + 1)))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Corrected p-values: those below α hold together with error rate α over the whole family."""
    corrected, highest = {}, 0.0
    for i, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        highest = max(highest, min(1.0, (len(p_values) - i) * p))
        corrected[name] = highest
    return corrected


def mean_ranks(
    per_seed: Mapping[str, Sequence[float]], *, higher_is_better: bool
) -> dict[str, float]:
    """Each name's rank from 1, averaged over seeds; equal scores share the mean of their ranks."""
    import pandas as pd

    frame = pd.DataFrame({name: list(scores) for name, scores in per_seed.items()})
    ranks = frame.rank(axis=1, ascending=not higher_is_better, method="average").mean()
    return {str(name): float(rank) for name, rank in ranks.items()}
