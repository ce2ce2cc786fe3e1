"""Quality of a search across modalities, such as captions for images, and images for captions.

``scores`` (rows, 2 × width) are the embeddings of both sides of every row, side by side; how alike
two are is their inner product. ``target`` (rows, 2) says which item each side shows: a row is a
pair that belongs together, and rows may share items on either side.

Every row asks with its first side. What is searched are the distinct items of the second one (the
mean of its rows' embeddings, should they differ). The rank of a row, from 1, is that of the best
item that belongs to what it asks with; items that tie with it share the mean of their ranks.
``-reverse`` asks the other way round. As is usual across modalities (Karpathy & Fei-Fei, CVPR 2015;
Faghri et al., BMVC 2018), recall at k is the share of queries with *a* relevant item among the
first k.

Where these are means, they are means over rows: resampled rows ask in the gallery as it is.
"""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from mmbench.contracts import Metric
from mmbench.errors import InvalidSpec
from mmbench.hookspecs import hookimpl
from mmbench.metrics._checks import check_scores
from mmbench.types import TargetKind

RETRIEVAL: frozenset[TargetKind] = frozenset({"retrieval"})
CUTS = (1, 5, 10)
QUERIES_AT_ONCE = 1024


class RetrievalMetric(Metric):
    """A figure of ranks, of the second side's items for the first side, or in reverse."""

    targets = RETRIEVAL
    reverse: ClassVar[bool] = False

    def __call__(self, scores: Tensor, target: Tensor) -> float:
        return self.measure(self.ranks(scores, target))

    def ranks(self, scores: Tensor, target: Tensor) -> Tensor:
        """(rows,) in this direction, from 1."""
        check_scores(self.name, scores, target)
        return ranks_of(scores, target, reverse=self.reverse)

    @abstractmethod
    def measure(self, ranks: Tensor) -> float:
        """The figure of ranks (rows,), from 1; there is at least one."""


class MeanOverRows(RetrievalMetric):
    """The mean of one value per row."""

    def measure(self, ranks: Tensor) -> float:
        return self.value(ranks).mean().item()

    def per_row(self, scores: Tensor, target: Tensor) -> Tensor:
        return self.value(self.ranks(scores, target))

    @abstractmethod
    def value(self, ranks: Tensor) -> Tensor:
        """(rows,) in float64."""


def ranks_of(scores: Tensor, target: Tensor, *, reverse: bool) -> Tensor:
    """(rows,) rank of the best item that belongs to what each row asks with, in float64.

    Sums are in float64: of scores that were rounded to be stored they are exact but for the last
    bits, and so are ties.
    """
    sides = _sides(scores, target)
    asks, answers = (1, 0) if reverse else (0, 1)
    queries, query = target[:, asks].unique(return_inverse=True)
    items, item = target[:, answers].unique(return_inverse=True)
    asking = _by_item(sides[:, asks], query, len(queries))
    gallery = _by_item(sides[:, answers], item, len(items))
    found = [
        _ranked(asking[some] @ gallery.T, _relevant(some, query, item, len(items)))
        for some in torch.arange(len(queries)).split(QUERIES_AT_ONCE)
    ]
    return torch.cat(found)[query]


def _sides(scores: Tensor, target: Tensor) -> Tensor:
    """(rows, 2, width) in float64."""
    if target.shape[1:] != (2,) or scores.ndim != 2 or scores.shape[1] % 2:
        raise InvalidSpec(
            f"Retrieval takes scores (rows, 2 × width) and a target (rows, 2), the item of each "
            f"side; got {tuple(scores.shape)} and {tuple(target.shape)}."
        )
    return torch.stack(scores.double().chunk(2, dim=1), dim=1)


def _by_item(vectors: Tensor, which: Tensor, n: int) -> Tensor:
    """(n, width) the mean over the rows that have each of n items."""
    sums = vectors.new_zeros(n, vectors.shape[1]).index_add_(0, which, vectors)
    return sums / which.bincount(minlength=n).unsqueeze(1)


def _relevant(some: Tensor, query: Tensor, item: Tensor, n_items: int) -> Tensor:
    """(some, items) True where a row has both; ``some`` are consecutive queries."""
    relevant = torch.zeros(len(some), n_items, dtype=torch.bool)
    rows = (query >= some[0]) & (query <= some[-1])
    relevant[query[rows] - some[0], item[rows]] = True
    return relevant


def _ranked(similarity: Tensor, relevant: Tensor) -> Tensor:
    """(queries,) rank of the best relevant of the items (queries, items)."""
    best = similarity.masked_fill(~relevant, -torch.inf).amax(dim=1, keepdim=True)
    above = ((similarity > best) & ~relevant).sum(dim=1)
    level = ((similarity == best) & ~relevant).sum(dim=1)
    return 1 + above + level.double() / 2


class RecallAt1(MeanOverRows):
    """Share of queries whose best relevant item is among the first ``k``."""

    name = "recall-at-1"
    best, worst = 1.0, 0.0
    k: ClassVar[int] = 1

    def value(self, ranks: Tensor) -> Tensor:
        return (ranks <= self.k).double()


class RecallAt5(RecallAt1):
    name = "recall-at-5"
    k = 5


class RecallAt10(RecallAt1):
    name = "recall-at-10"
    k = 10


class MeanReciprocalRank(MeanOverRows):
    """Mean of 1 / rank (Voorhees, TREC-8 1999)."""

    name = "mrr"
    best, worst = 1.0, 0.0

    def value(self, ranks: Tensor) -> Tensor:
        return ranks.reciprocal()


class MedianRank(RetrievalMetric):
    """The middle rank, of an even number the mean of the two middle ones; 1 is the best."""

    name = "median-rank"
    higher_is_better = False
    best = 1.0

    def measure(self, ranks: Tensor) -> float:
        return ranks.quantile(0.5).item()


class RecallAt1Reverse(RecallAt1):
    name = "recall-at-1-reverse"
    reverse = True


class RecallAt5Reverse(RecallAt5):
    name = "recall-at-5-reverse"
    reverse = True


class RecallAt10Reverse(RecallAt10):
    name = "recall-at-10-reverse"
    reverse = True


class MeanReciprocalRankReverse(MeanReciprocalRank):
    name = "mrr-reverse"
    reverse = True


class MedianRankReverse(MedianRank):
    name = "median-rank-reverse"
    reverse = True


class MeanRecall(Metric):
    """Mean of recall at 1, 5 and 10 in both directions: mR, a sixth of what is known as rsum."""

    name = "mean-recall"
    targets = RETRIEVAL
    best, worst = 1.0, 0.0

    def __call__(self, scores: Tensor, target: Tensor) -> float:
        return self.per_row(scores, target).mean().item()

    def per_row(self, scores: Tensor, target: Tensor) -> Tensor:
        """(rows,) the mean over directions and cuts of whether a right item is found."""
        check_scores(self.name, scores, target)
        both = [ranks_of(scores, target, reverse=reverse) for reverse in (False, True)]
        return torch.stack([(r <= k).double() for r in both for k in CUTS]).mean(dim=0)


@hookimpl
def register_metrics() -> list[type[Metric]]:
    return [
        MeanRecall,
        RecallAt1,
        RecallAt5,
        RecallAt10,
        MeanReciprocalRank,
        MedianRank,
        RecallAt1Reverse,
        RecallAt5Reverse,
        RecallAt10Reverse,
        MeanReciprocalRankReverse,
        MedianRankReverse,
    ]
