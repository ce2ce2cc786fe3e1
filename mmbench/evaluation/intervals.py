"""How sure a score is: bootstrap intervals over seeds and samples.

Two things would come out differently if an experiment were repeated: the seeds, and which samples
happened to be in the test part. Each resample draws both again with replacement (Efron &
Tibshirani, "An Introduction to the Bootstrap", 1993). Rows of one source (the questions about one
image) are not independent, so whole sources are drawn (cluster bootstrap: Field & Welsh,
"Bootstrapping clustered data", JRSS-B 2007). Intervals are percentile intervals. Drawing S
seeds from S shows only (S - 1) / S of the variance between seeds, a third too little with three:
their deviations are scaled up to make good for it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, cat

from mmbench.contracts import Metric
from mmbench.seeds import stream

GENERAL_RESAMPLES = 200
"""Enough for a 95 % interval where every resample must call the metric itself."""
CHUNK = 100
"""Resamples drawn at a time: CHUNK × sources weights are held in memory."""


@runtime_checkable
class PerRow(Protocol):
    """A metric that is the plain mean of one value per row, such as accuracy or absolute error."""

    def per_row(self, scores: Tensor, target: Tensor) -> Tensor:
        """(rows,) whose mean is the metric; boolean or floating point."""
        ...


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with the range that it would likely fall in if the experiment were repeated."""

    mean: float
    low: float
    high: float


def bootstrap(
    metric: Metric,
    scores: Sequence[Tensor],
    target: Tensor,
    *,
    source: Tensor | None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The metric's mean over seeds and its interval over seeds × sources.

    ``scores`` holds one (rows, n_outputs) per seed, all of the same rows; ``source`` (rows,) says
    what each row was taken from, None that rows are independent. A metric that is not ``PerRow`` is
    called on each resample, of which there are then at most ``GENERAL_RESAMPLES``.
    """
    _check(scores, target, source)
    generator = stream(seed, "bootstrap")
    resampler = Resampler(metric, scores, target, source)
    drawn = [
        _mean_over_seeds(resampler.scores(weights), generator)
        for weights in draws(resampler.n_sources, affordable(metric, resamples), generator)
    ]
    interval = _interval(plain_mean(metric, scores, target), torch.cat(drawn), level)
    return _possible(interval, metric)


def paired_gain(
    metric: Metric,
    scores_a: Sequence[Tensor],
    scores_b: Sequence[Tensor],
    target: Tensor,
    source: Tensor | None,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """How much better a is than b; positive is better, whichever way the metric points.

    Both are scored on the same resampled sources (paired), so what is hard for both cancels out;
    their seeds have nothing in common and are drawn independently.
    """
    gain, drawn = gain_draws(
        metric, scores_a, scores_b, target, source, resamples=resamples, seed=seed
    )
    return _interval(gain, drawn, level)


def gain_draws(
    metric: Metric,
    scores_a: Sequence[Tensor],
    scores_b: Sequence[Tensor],
    target: Tensor,
    source: Tensor | None,
    *,
    resamples: int,
    seed: int,
) -> tuple[float, Tensor]:
    """The gain of a over b, and what it is on each resample (resamples,)."""
    _check(scores_a, target, source)
    _check(scores_b, target, source)
    generator = stream(seed, "bootstrap")
    a = Resampler(metric, scores_a, target, source)
    b = Resampler(metric, scores_b, target, source)
    sign = 1.0 if metric.higher_is_better else -1.0
    drawn = []
    for weights in draws(a.n_sources, affordable(metric, resamples), generator):
        mean_a = _mean_over_seeds(a.scores(weights), generator)
        drawn.append(sign * (mean_a - _mean_over_seeds(b.scores(weights), generator)))
    gain = plain_mean(metric, scores_a, target) - plain_mean(metric, scores_b, target)
    return sign * gain, torch.cat(drawn)


class Resampler:
    """Scores every seed on resamples given as how often each source was drawn."""

    def __init__(
        self, metric: Metric, scores: Sequence[Tensor], target: Tensor, source: Tensor | None
    ) -> None:
        self.metric, self.all_scores, self.target = metric, scores, target
        rows = torch.arange(len(target))
        self.source = rows if source is None else source.cpu().unique(return_inverse=True)[1]
        self.n_sources = int(self.source.max()) + 1
        self.sums = self._sum_by_source() if isinstance(metric, PerRow) else None
        self.sizes = torch.bincount(self.source).double()  # (sources,)

    def scores(self, weights: Tensor) -> Tensor:
        """(resamples, sources) draws to (resamples, seeds) scores."""
        if self.sums is not None:
            return (weights @ self.sums) / (weights @ self.sizes).unsqueeze(1)
        return torch.stack([self._score(w) for w in weights.long()])

    def _sum_by_source(self) -> Tensor:
        """(sources, seeds): a mean over rows only needs each source's sum and size."""
        assert isinstance(self.metric, PerRow)
        values = [self.metric.per_row(s, self.target).double() for s in self.all_scores]
        sums = torch.zeros(self.n_sources, len(values), dtype=torch.float64)
        return sums.index_add_(0, self.source, torch.stack(values, dim=1))

    def _score(self, weights: Tensor) -> Tensor:
        """(seeds,) the metric itself on the rows of one resample."""
        rows = torch.arange(len(self.target)).repeat_interleave(weights[self.source])
        target = self.target[rows]
        values = [float(self.metric(s[rows], target)) for s in self.all_scores]
        return torch.tensor(values, dtype=torch.float64)


def with_resamples(
    metric: Metric, target: Tensor, source: Tensor | None, resamples: int = 200
) -> Callable[[Tensor], Tensor]:
    """How scores of these rows are judged: by the metric, and by it on resamples of their sources.

    The judge takes (rows, n_outputs) and gives (1 + resamples,); the resamples are the same at
    every call, so that two models are compared on the same rows. Only the metric for one that is
    not ``PerRow``: it would be called ``resamples`` times.
    """
    sources = len(target) if source is None else len(source.unique())
    weights = cat(list(draws(sources, resamples, stream(0, "bootstrap"))))

    def judge(scores: Tensor) -> Tensor:
        plain = torch.tensor([float(metric(scores, target))], dtype=torch.float64)
        if not isinstance(metric, PerRow):
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


def _mean_over_seeds(scores: Tensor, generator: torch.Generator) -> Tensor:
    """(resamples, seeds) to (resamples,): the mean over seeds drawn with replacement."""
    return mean_over_drawn(
        scores, torch.randint(scores.shape[1], scores.shape, generator=generator)
    )


def mean_over_drawn(scores: Tensor, drawn: Tensor) -> Tensor:
    """The mean over these seeds (resamples, seeds), its deviation scaled to the full variance."""
    seeds, plain = scores.shape[1], scores.mean(dim=1)
    scale = math.sqrt(seeds / (seeds - 1)) if seeds > 1 else 1.0
    return plain + scale * (scores.gather(1, drawn).mean(dim=1) - plain)


def plain_mean(metric: Metric, scores: Sequence[Tensor], target: Tensor) -> float:
    return math.fsum(float(metric(s, target)) for s in scores) / len(scores)


def affordable(metric: Metric, resamples: int) -> int:
    return resamples if isinstance(metric, PerRow) else min(resamples, GENERAL_RESAMPLES)


def _interval(mean: float, drawn: Tensor, level: float) -> Interval:
    """Resamples in which the metric is undefined (a class was not drawn) are left out."""
    tail = (1 - level) / 2
    low, high = drawn.nanquantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return Interval(mean, low, high)


def _possible(interval: Interval, metric: Metric) -> Interval:
    """Not beyond what the metric can be, where scaled deviations of seeds may have reached."""
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
