"""What a comparison found: ranks, differences that are more than noise, and what tuning brought."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import comb
from typing import Any

from mmbench.contracts import Metric
from mmbench.evaluation.moderated import moderated
from mmbench.evaluation.paired import Resampled, holm, mean_ranks, tukey
from mmbench.final import SeedResult
from mmbench.types import Split

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Against:
    """A paired difference to another contestant; positive is better."""

    other: str
    mean: float
    low: float
    high: float
    p: float
    p_corrected: float
    """For all differences to that other contestant, and if test chose it for all of all pairs."""

    @property
    def verdict(self) -> str:
        if self.p_corrected >= ALPHA:
            return "tie"
        return "better" if self.mean > 0 else "worse"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One contestant's place among all."""

    label: str
    reference: bool
    score: float
    """The main metric on test, mean over seeds."""
    mean_rank: float
    """From 1, averaged over seeds, references included."""
    yardstick: Against | None
    """Against the plain choice: concat, or the plain paradigm; None for itself."""
    best: Against | None
    """Against the best on test; None for itself."""
    best_after: Sequence[float]
    """Best validation score expected after 1, 2, … trials."""

    @property
    def leads(self) -> bool:
        """Not shown to be worse than the best."""
        return self.best is None or self.best.verdict != "worse"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def judge(
    families: Mapping[str, Sequence[SeedResult]],
    validation: Mapping[str, Sequence[float | None]],
    references: frozenset[str],
    yardstick: str | None,
    metric: Metric,
    test: Split,
) -> list[Verdict]:
    """Verdicts by label, best first.

    ``validation`` holds the tuning scores, that of the defaults first; None of a trial that failed.
    """
    scores = {label: [s.test_scores for s in seeds] for label, seeds in families.items()}
    resampled = Resampled(metric, scores, test.target, test.source)
    ranks = mean_ranks(resampled.per_seed, higher_is_better=metric.higher_is_better)
    order = sorted(families, key=lambda label: (-metric.sign * resampled.plain[label], label))
    best = next((label for label in order if label not in references), order[0])
    to_best = _against(best, resampled, chosen=True)
    to_yardstick = _against(yardstick, resampled, chosen=False)
    return [
        Verdict(
            label,
            label in references,
            resampled.plain[label],
            ranks[label],
            to_yardstick.get(label),
            to_best.get(label),
            expected_best(validation[label], higher_is_better=metric.higher_is_better),
        )
        for label in order
    ]


def _against(other: str | None, resampled: Resampled, *, chosen: bool) -> dict[str, Against]:
    """Each difference to ``other``; ``chosen``: by the same scores, not named beforehand."""
    if other is None or other not in resampled.plain:
        return {}
    found = {label: resampled.estimate(label, other) for label in resampled.plain if label != other}
    steady = moderated(found)
    if chosen:
        corrected = {label: tukey(e, len(resampled.plain)) for label, e in steady.items()}
    else:
        corrected = holm({label: e.p for label, e in steady.items()})
    gains = {label: e.interval() for label, e in found.items()}
    return {
        label: Against(other, gain.mean, gain.low, gain.high, steady[label].p, corrected[label])
        for label, gain in gains.items()
    }


def expected_best(scores: Sequence[float | None], *, higher_is_better: bool) -> list[float]:
    """The best score expected after n trials: the defaults, then n − 1 of the random ones.

    A trial that failed (None) brings the worst score that any had: it is a trial all the same.

    The mean of the maximum over all subsets of n − 1 random trials, which is unbiased (Tang et al.,
    "Showing Your Work Doesn't Always Work", ACL 2020, after Dodge et al., EMNLP 2019).
    """
    sign = 1 if higher_is_better else -1
    finished = [sign * s for s in scores if s is not None]
    if not finished:
        return []
    first, *rest = (min(finished) if s is None else sign * s for s in scores)
    raised = sorted(max(first, s) for s in rest)
    curve = [first]
    for n in range(1, len(raised) + 1):
        # the k-th smallest is the maximum of C(k, n - 1) subsets of n, k counted from 0
        subsets = sum(comb(k, n - 1) * value for k, value in enumerate(raised))
        curve.append(subsets / comb(len(raised), n))
    return [sign * value for value in curve]
