"""Which of many configurations differ: paired by test rows and seeds, with corrected p-values.

All configurations are scored on the same resamples of sources (see ``intervals``) and have the same
seeds, so what is hard for all, or lucky for all, cancels out of their differences. A p-value is
that of Student's t. Many at once are corrected: differences to one that was named beforehand by
Holm ("A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics
1979), those to the best, which the same data chose, as all pairs are (Tukey 1953; Kramer,
"Extension of Multiple Range Tests to Group Means with Unequal Numbers of Replications", Biometrics
1956).

Each pair has a variance of its own, since some configurations depend on the seed far more than
others; for corrected p-values it is ``moderated``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from torch import Tensor

from mmbench.contracts import Metric
from mmbench.evaluation.estimates import (
    Estimate,
    Interval,
    mean,
    spread_of_seeds,
)
from mmbench.evaluation.intervals import RESAMPLES, gain_estimate
from mmbench.evaluation.resampling import Resampler


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better one is than another; positive is better, whichever way the metric points."""

    gain: Interval
    p: float
    """Two-sided, not corrected."""


class Resampled:
    """The metric of every configuration, seed by seed, on the same resamples."""

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
        self.sign = metric.sign
        n = counts.pop()
        everyone = [s for per_seed in scores.values() for s in per_seed]
        sampler = Resampler(metric, everyone, target, source)
        plain, drawn = sampler.plain(), sampler.resampled(resamples, seed)
        self.spread_between = sampler.spread_between
        self.per_seed = {name: plain[i * n : (i + 1) * n] for i, name in enumerate(scores)}
        self.plain = {name: mean(own) for name, own in self.per_seed.items()}
        each = drawn.unflatten(1, (len(scores), n)).mean(dim=2).unbind(dim=1)
        self.drawn = dict(zip(scores, each, strict=True))
        """(resamples,) by name, the mean over seeds."""

    def estimate(self, one: str, other: str) -> Estimate:
        """How much better ``one`` is than ``other``."""
        pairs = zip(self.per_seed[one], self.per_seed[other], strict=True)
        return Estimate(
            self.sign * (self.plain[one] - self.plain[other]),
            [
                self.spread_between(self.drawn[one] - self.drawn[other]),
                spread_of_seeds([a - b for a, b in pairs]),
            ],
        )

    def difference(self, one: str, other: str) -> Difference:
        return _difference(self.estimate(one, other))


def difference_of_unlike_seeds(
    metric: Metric,
    one: Sequence[Tensor],
    other: Sequence[Tensor],
    target: Tensor,
    source: Tensor | None,
) -> Difference:
    """How much better ``one`` is, where the seeds of the two have nothing in common."""
    return _difference(gain_estimate(metric, one, other, target, source))


def _difference(estimate: Estimate) -> Difference:
    return Difference(estimate.interval(), estimate.p)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Corrected p-values: those below α hold together with error rate α over the whole family."""
    corrected, highest = {}, 0.0
    for i, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        highest = max(highest, min(1.0, (len(p_values) - i) * p))
        corrected[name] = highest
    return corrected


def tukey(estimate: Estimate, configurations: int) -> float:
    """The p-value of a difference of two out of so many, corrected for all their pairs.

    It holds for the two that lie furthest apart, so for any that were picked by their figures.
    """
    from scipy.stats import studentized_range  # type: ignore[import-untyped]

    if not estimate.error:
        return float(estimate.mean == 0)
    range_ = sqrt(2) * abs(estimate.mean) / estimate.error
    p = float(studentized_range.sf(range_, configurations, estimate.freedom))
    return min(1.0, max(estimate.p, p))


def mean_ranks(
    per_seed: Mapping[str, Sequence[float]], *, higher_is_better: bool
) -> dict[str, float]:
    """Each name's rank from 1, averaged over seeds; equal scores share the mean of their ranks."""
    import pandas as pd

    frame = pd.DataFrame({name: list(scores) for name, scores in per_seed.items()})
    ranks = frame.rank(axis=1, ascending=not higher_is_better, method="average").mean()
    return {str(name): float(rank) for name, rank in ranks.items()}
