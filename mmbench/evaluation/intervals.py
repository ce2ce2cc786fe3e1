"""How sure a score is: intervals over seeds and samples.

Two things would come out differently if an experiment were repeated: the seeds, and which samples
happened to be in the test part. What the samples contribute is the variance over resamples of them;
what the seeds contribute is the variance between them over their number.
"""

from collections.abc import Sequence

from torch import Tensor

from mmbench.contracts import Metric
from mmbench.evaluation.estimates import (
    LEVEL,
    Estimate,
    Interval,
    mean,
    spread_of_seeds,
)
from mmbench.evaluation.resampling import Resampler

RESAMPLES = 1000


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
    spreads = [sampler.spread(drawn), spread_of_seeds(plain)]
    found = Estimate(mean(plain), spreads)
    return found.interval(level).within(metric.ends)


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
    return Estimate(
        metric.sign * (mean(plain_a) - mean(plain_b)),
        [a.spread_between(drawn), spread_of_seeds(plain_a), spread_of_seeds(plain_b)],
    )
