"""Quality of sequences of tokens, such as captions; how scores lie is in ``mmbench.sequences``.

What is said is the likeliest token at each place. A target counts up to its first end, which is a
token to be got right as well; what is said behind it is no matter.
"""

from abc import abstractmethod
from collections import Counter
from math import exp, log

from torch import Tensor

from mmbench.contracts import Metric
from mmbench.errors import InvalidSpec
from mmbench.hookspecs import hookimpl
from mmbench.metrics._checks import check_scores
from mmbench.sequences import END, counted, said
from mmbench.types import TargetKind

SEQUENCE: frozenset[TargetKind] = frozenset({"sequence"})
LONGEST = 4
"""Tokens in a row that BLEU counts."""


class SequenceMetric(Metric):
    targets = SEQUENCE
    best, worst = 1.0, 0.0

    def __call__(self, scores: Tensor, target: Tensor) -> float:
        return self.measure(self.said(scores, target), target)

    def said(self, scores: Tensor, target: Tensor) -> Tensor:
        """(rows, length) tokens, of finite scores for at least one row."""
        check_scores(self.name, scores, target)
        if target.ndim != 2 or scores.shape[1] % target.shape[1]:
            raise InvalidSpec(
                f"{self.name} takes scores (rows, length × tokens) and a target (rows, length); "
                f"got {tuple(scores.shape)} and {tuple(target.shape)}."
            )
        return said(scores, target.shape[1])

    @abstractmethod
    def measure(self, tokens: Tensor, target: Tensor) -> float:
        """The figure of what is said (rows, length)."""


class MeanOverRows(SequenceMetric):
    """The mean of one value per row."""

    def measure(self, tokens: Tensor, target: Tensor) -> float:
        return self.value(tokens, target).mean().item()

    def per_row(self, scores: Tensor, target: Tensor) -> Tensor:
        return self.value(self.said(scores, target), target)

    @abstractmethod
    def value(self, tokens: Tensor, target: Tensor) -> Tensor:
        """(rows,) in float64."""


class ExactMatch(MeanOverRows):
    """Share of rows of which the whole sequence is right."""

    name = "exact-match"

    def value(self, tokens: Tensor, target: Tensor) -> Tensor:
        return ((tokens == target) | ~counted(target)).all(1).double()


class TokenAccuracy(MeanOverRows):
    """Share of a row's tokens that are right at their place; the mean over rows."""

    name = "token-accuracy"

    def value(self, tokens: Tensor, target: Tensor) -> Tensor:
        real = counted(target)
        return ((tokens == target) & real).sum(1) / real.sum(1).double()


class BLEU(SequenceMetric):
    """``min(1, exp(1 − r/c)) · (p_1 … p_N)^(1/N)`` over all rows, the ends left out.

    p_n: the share of what is said, n tokens at a time, that its row's target has, each as often as
    it is there; c and r: how many tokens are said, and how many there are in the targets. N is 4,
    or the length of the longest target if that is less. Zero if a p_n is. Papineni, Roukos, Ward &
    Zhu, "BLEU: a Method for Automatic Evaluation of Machine Translation", ACL 2002, with one
    reference a row and no smoothing.
    """

    name = "bleu"

    def measure(self, tokens: Tensor, target: Tensor) -> float:
        hits, tries = Counter[int](), Counter[int]()
        lengths, targets = [0, 0], _spoken(target)
        orders = range(1, min(LONGEST, max(map(len, targets), default=0)) + 1)
        for one, other in zip(_spoken(tokens), targets, strict=True):
            lengths[0] += len(one)
            lengths[1] += len(other)
            for n in orders:
                found, wanted = _grams(one, n), _grams(other, n)
                hits[n] += (found & wanted).total()
                tries[n] += found.total()
        if not orders or not all(hits[n] for n in orders):
            return 0.0
        precision = sum(log(hits[n] / tries[n]) for n in orders) / len(orders)
        return exp(min(0.0, 1 - lengths[1] / lengths[0]) + precision)


def _spoken(tokens: Tensor) -> list[list[int]]:
    """Each row up to its end, without it."""
    lengths = (tokens.eq(END).cumsum(1) == 0).sum(1).tolist()
    return [row[:n] for row, n in zip(tokens.tolist(), lengths, strict=True)]


def _grams(tokens: list[int], n: int) -> Counter[tuple[int, ...]]:
    return Counter(zip(*(tokens[i:] for i in range(n)), strict=False))


@hookimpl
def register_metrics() -> list[type[Metric]]:
    return [ExactMatch, TokenAccuracy, BLEU]
