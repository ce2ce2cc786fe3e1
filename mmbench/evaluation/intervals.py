"""How sure a score is: intervals over seeds and samples.

Two things would come out differently if an experiment were repeated: the seeds, and which samples
happened to be in the test part. What the samples contribute is the variance over bootstrap
resamples of them (Efron & Tibshirani, "An Introduction to the Bootstrap", 1993); rows of one source
(the questions about one image) are not independent, so whole sources are drawn (cluster bootstrap:
Field & Welsh, "Bootstrapping clustered data", JRSS-B 2007). What the seeds contribute is the
variance between them over their number.

Both are known from few: three seeds, of some tasks three people. So n sources drawn from n, which
show (n - 1) / n of their variance, are scaled up to all of it, and the interval is that of
Student's t, whose degrees of freedom, sources - 1 and seeds - 1, are pooled as in Satterthwaite,
"An Approximate Distribution of Estimates of Variance Components", Biometrics Bulletin 1946; for few
clusters see Cameron & Miller, "A Practitioner's Guide to Cluster-Robust Inference", Journal of
Human Resources 2015. With plain percentiles the 95 % interval of three sources covers 80 %.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, cat

from mmbench.contracts import Metric
from mmbench.seeds import stream

RESAMPLES = 1000
GENERAL_RESAMPLES = 200
"""Enough for a variance (to a tenth) where every resample must call the metric itself."""
CHUNK = 100
"""Resamples drawn at a time: CHUNK × sources weights are held in memory."""
LEVEL = 0.95


@runtime_checkable
class PerRow(Protocol):
    """A metric that is the plain mean of one value per row, such as accuracy or absolute error."""

    def per_row(self, scores: Tensor, target: Tensor) -> Tensor:
        """(rows,) whose mean is the metric; boolean or floating point."""
        ...


@runtime_checkable
class OfSums(Protocol):
    """A metric that follows from sums over rows, such as R² or micro-F1."""

    def summands(self, scores: Tensor, target: Tensor) -> Tensor:
        """(rows, terms), what is summed over rows."""
        ...

    def of_sums(self, sums: Tensor) -> Tensor:
        """(..., terms) to (...): the metric."""
        ...


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with the range that it would likely fall in if the experiment were repeated."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Spread:
    """A variance of a figure, and from how many independent values it is known."""

    variance: float
    freedom: int
    """Degrees of freedom; 0 if nothing could vary, and then the variance is 0. A single source has
    1, the least there is."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, and what contributes to how far it would lie elsewhere if all were repeated."""

    mean: float
    spreads: Sequence[Spread]

    @property
    def error(self) -> float:
        """The standard error."""
        return math.sqrt(math.fsum(s.variance for s in self.spreads))

    @property
    def freedom(self) -> float:
        """Satterthwaite's; infinite if nothing varied."""
        pooled = math.fsum(s.variance**2 / s.freedom for s in self.spreads if s.variance)
        return self.error**4 / pooled if pooled else math.inf

    def interval(self, level: float = LEVEL) -> Interval:
        from scipy.stats import t  # type: ignore[import-untyped]

        reach = float(t.ppf((1 + level) / 2, self.freedom)) * self.error
        return Interval(self.mean, self.mean - reach, self.mean + reach)

    @property
    def p(self) -> float:
        """Two-sided: how likely so large a figure is if the true one is zero."""
        from scipy.stats import t

        if not self.error:
            return float(self.mean == 0)
        return float(2 * t.sf(abs(self.mean) / self.error, self.freedom))


def bootstrap(
    metric: Metric,
    scores: Sequence[Tensor],
    target: Tensor,
    *,
    source: Tensor | None,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """The metric's mean over seeds and its interval over seeds × sources.

    ``scores`` holds one (rows, n_outputs) per seed, all of the same rows; ``source`` (rows,) says
    what each row was taken from, None that rows are independent. A metric that is neither
    ``PerRow`` nor ``OfSums`` is called on each resample, of which there are then at most
    ``GENERAL_RESAMPLES``.
    """
    sampler = Resampler(metric, scores, target, source)
    drawn = sampler.resampled(resamples, seed).mean(dim=1)
    plain = sampler.plain()
    spreads = [spread_of_sources(drawn, sampler.sources), spread_of_seeds(plain)]
    found = Estimate(mean(plain), spreads)
    return _possible(found.interval(level), metric)


def gain_estimate(
    metric: Metric,
    scores_a: Sequence[Tensor],
    scores_b: Sequence[Tensor],
    target: Tensor,
    source: Tensor | None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """How much better a is than b; positive is better, whichever way the metric points.

    Both are scored on the same resampled sources (paired), so what is hard for both cancels out;
    their seeds have nothing in common.
    """
    a, b = (Resampler(metric, scores, target, source) for scores in (scores_a, scores_b))
    drawn = a.resampled(resamples, seed).mean(dim=1) - b.resampled(resamples, seed).mean(dim=1)
    plain_a, plain_b = a.plain(), b.plain()
    sign = 1 if metric.higher_is_better else -1
    return Estimate(
        sign * (mean(plain_a) - mean(plain_b)),
        [spread_of_sources(drawn, a.sources), spread_of_seeds(plain_a), spread_of_seeds(plain_b)],
    )


class Resampler:
    """Scores every seed on resamples given as how often each source was drawn."""

    def __init__(
        self, metric: Metric, scores: Sequence[Tensor], target: Tensor, source: Tensor | None
    ) -> None:
        _check(scores, target, source)
        self.metric, self.all_scores, self.target = metric, scores, target
        self.sources = count_sources(target, source)
        self.unit = units_drawn(target, source)
        self.units = int(self.unit.max()) + 1
        self.sums = self._sum_by_unit()

    def plain(self) -> list[float]:
        """Each seed's score on all rows."""
        return [float(self.metric(s, self.target)) for s in self.all_scores]

    def resampled(self, resamples: int, seed: int) -> Tensor:
        """(resamples, seeds) scores."""
        n = min(resamples, GENERAL_RESAMPLES) if self.sums is None else resamples
        chunks = draws(self.units, n, stream(seed, "bootstrap"))
        return cat([self.scores(weights) for weights in chunks])

    def scores(self, weights: Tensor) -> Tensor:
        """(resamples, sources) draws to (resamples, seeds) scores."""
        if self.sums is None:
            return torch.stack([self._score(w) for w in weights.long()])
        return of_summed(self.metric, torch.einsum("rs,sem->rem", weights, self.sums))

    def _sum_by_unit(self) -> Tensor | None:
        """(sources, seeds, terms): what the metric follows from; None if it must be called."""
        each = [summands(self.metric, s, self.target) for s in self.all_scores]
        if any(own is None for own in each):
            return None
        terms = torch.stack([own.double() for own in each if own is not None], dim=1)
        sums = torch.zeros(self.units, *terms.shape[1:], dtype=torch.float64)
        return sums.index_add_(0, self.unit, terms)

    def _score(self, weights: Tensor) -> Tensor:
        """(seeds,) the metric itself on the rows of one resample."""
        rows = torch.arange(len(self.target)).repeat_interleave(weights[self.unit])
        target = self.target[rows]
        values = [float(self.metric(s[rows], target)) for s in self.all_scores]
        return torch.tensor(values, dtype=torch.float64)


def count_sources(target: Tensor, source: Tensor | None) -> int:
    return len(target) if source is None else len(source.unique())


def units_drawn(target: Tensor, source: Tensor | None) -> Tensor:
    """(rows,) which of the units that are drawn whole each row is of, from 0: its source.

    Of other sources one alone tells nothing: its rows stand in for them, see ``Spread``.
    """
    if source is None or count_sources(target, source) == 1:
        return torch.arange(len(target))
    units: Tensor = source.cpu().unique(return_inverse=True)[1]
    return units


def summands(metric: Metric, scores: Tensor, target: Tensor) -> Tensor | None:
    """(rows, terms) whose sums tell the metric, of a plain mean values and ones; or None."""
    if isinstance(metric, OfSums):
        return metric.summands(scores, target)
    if not isinstance(metric, PerRow):
        return None
    values = metric.per_row(scores, target).double()
    return torch.stack([values, torch.ones_like(values)], dim=1)


def of_summed(metric: Metric, sums: Tensor) -> Tensor:
    """(..., terms) sums of ``summands`` to (...): the metric."""
    return metric.of_sums(sums) if isinstance(metric, OfSums) else sums[..., 0] / sums[..., 1]


def with_resamples(
    metric: Metric, target: Tensor, source: Tensor | None, resamples: int = 200
) -> Callable[[Tensor], Tensor]:
    """How scores of these rows are judged: by the metric, and by it on resamples of their sources.

    The judge takes (rows, n_outputs) and gives (1 + resamples,); the resamples are the same at
    every call, so that two models are compared on the same rows. Only the metric for one that is
    neither ``PerRow`` nor ``OfSums``: it would be called ``resamples`` times.
    """
    units = int(units_drawn(target, source).max()) + 1
    weights = cat(list(draws(units, resamples, stream(0, "bootstrap"))))

    def judge(scores: Tensor) -> Tensor:
        plain = torch.tensor([float(metric(scores, target))], dtype=torch.float64)
        if not isinstance(metric, PerRow | OfSums):
            return plain
        return cat([plain, Resampler(metric, [scores], target, source).scores(weights).flatten()])

    return judge


def draws(n_sources: int, resamples: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Chunks of (resamples, sources): how often each source was drawn in each resample."""
    for start in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - start)
        picks = torch.randint(n_sources, (size, n_sources), generator=generator)
        offsets = torch.arange(size).unsqueeze(1) * n_sources
        counts = torch.bincount((picks + offsets).flatten(), minlength=size * n_sources)
        yield counts.view(size, n_sources).double()


def spread_of_sources(drawn: Tensor, sources: int) -> Spread:
    """The variance of a figure (resamples,), of which n of n sources show (n - 1) / n.

    Resamples in which the metric is undefined (a class was not drawn) are left out.
    """
    known, others = drawn[~drawn.isnan()], max(1, sources - 1)
    if len(known) < 2:
        return Spread(0.0, 0)
    return Spread(sources / others * float(known.var(correction=0)), others)


def spread_of_seeds(scores: Sequence[float]) -> Spread:
    """The variance of the mean of these, each of another seed; of one seed nothing is known."""
    n = len(scores)
    if n < 2:
        return Spread(0.0, 0)
    middle = mean(scores)
    return Spread(math.fsum((s - middle) ** 2 for s in scores) / (n - 1) / n, n - 1)


def mean(scores: Sequence[float]) -> float:
    return math.fsum(scores) / len(scores)


def _possible(interval: Interval, metric: Metric) -> Interval:
    """Not beyond what the metric can be."""
    ends = (metric.worst, metric.best)
    lowest, highest = ends if metric.higher_is_better else reversed(ends)
    low = interval.low if lowest is None else max(interval.low, lowest)
    high = interval.high if highest is None else min(interval.high, highest)
    return Interval(interval.mean, low, high)


def _check(scores: Sequence[Tensor], target: Tensor, source: Tensor | None) -> None:
    lengths = {len(s) for s in scores} | ({len(source)} if source is not None else set())
    if not scores or not len(target) or lengths != {len(target)}:
        raise ValueError(
            f"A bootstrap takes scores of one or more seeds, all of the target's {len(target)} "
            f"rows; got {len(scores)} seeds and rows {sorted(lengths)}."
        )
