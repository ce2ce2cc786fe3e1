"""McNemar's test: whether one of two classifiers is right where the other errs more than by chance.

Only rows that one gets right and the other wrong count; if neither is better, each such row is the
toss of a coin. Recommended for two classifiers on one test set by Dietterich ("Approximate
statistical tests for comparing supervised classification learning algorithms", Neural Computation
1998). The mid-p value is less timid than the exact one and keeps its level (Fagerland, Lydersen &
Laake, BMC Medical Research Methodology 2013). Rows are taken as independent: where several share a
source, the bootstrap of ``paired`` is the one to trust.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two classifiers on the same rows."""

    only_one: int
    """Rows that only the first gets right."""
    only_other: int
    p: float
    """Two-sided mid-p value."""


def mcnemar(one: Tensor, other: Tensor, target: Tensor) -> McNemar:
    """From scores (rows, classes) of both and the target (rows,)."""
    right, also = one.argmax(1) == target, other.argmax(1) == target
    only_one, only_other = int((right & ~also).sum()), int((also & ~right).sum())
    return McNemar(only_one, only_other, mid_p(only_one, only_other))


def mid_p(b: int, c: int) -> float:
    """Two-sided, of ``b`` heads and ``c`` tails of a fair coin; 1 without a toss."""
    from scipy.stats import binom  # type: ignore[import-untyped]

    if b == c == 0:
        return 1.0
    if b == c:
        return 1 - 0.5 * float(binom.pmf(b, b + c, 0.5))
    fewer = min(b, c)
    return float(2 * binom.cdf(fewer, b + c, 0.5) - binom.pmf(fewer, b + c, 0.5))
