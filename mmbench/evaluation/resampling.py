"""Scores on resamples of the test rows, drawn by their sources.

Efron & Tibshirani, "An Introduction to the Bootstrap", 1993. Rows of one source (the questions
about one image) are not independent, so whole sources are drawn (cluster bootstrap: Field & Welsh,
"Bootstrapping clustered data", JRSS-B 2007).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, cat

from mmbench.contracts import Metric
from mmbench.evaluation.estimates import Spread, reach, spread_of_sources
from mmbench.seeds import stream

GENERAL_RESAMPLES = 200
"""Enough for a variance (to a tenth) where every resample must call the metric itself."""
CHUNK = 100
"""Resamples drawn at a time: CHUNK × sources weights are held in memory."""


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

    def spread(self, drawn: Tensor) -> Spread:
        """The variance of a figure of these scores on resamples (resamples,)."""
        in_sums = isinstance(self.metric, PerRow | OfSums)  # else no row goes so far by itself
        return spread_of_sources(drawn, self.sources, reach(self.metric.ends) if in_sums else 0.0)

    def spread_between(self, drawn: Tensor) -> Spread:
        """That of a difference to other scores; two that answer alike differ by nothing."""
        return self.spread(drawn) if drawn.any() else spread_of_sources(drawn, self.sources)

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


def _check(scores: Sequence[Tensor], target: Tensor, source: Tensor | None) -> None:
    lengths = {len(s) for s in scores} | ({len(source)} if source is not None else set())
    if not scores or not len(target) or lengths != {len(target)}:
        raise ValueError(
            f"A bootstrap takes scores of one or more seeds, all of the target's {len(target)} "
            f"rows; got {len(scores)} seeds and rows {sorted(lengths)}."
        )
