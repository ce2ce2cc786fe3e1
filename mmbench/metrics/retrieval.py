"""Quality of a search in a gallery, such as captions for images, and images for captions.

``scores`` (queries, gallery) are similarities, more being nearer. ``target`` is (queries,), the
index of each query's match, or (queries, gallery), true where an item is relevant. A query's rank
is that of its best relevant item, from 1; items that tie with it share the mean of their ranks.
Queries without a relevant item are left out; if none has one, it counts as found last.

Each figure comes in both directions: ``-reverse`` asks with the gallery's items for queries. As is
usual across modalities (Karpathy & Fei-Fei, CVPR 2015; Faghri et al., BMVC 2018), recall at k is
the share of queries with *a* relevant item among the first k.
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


class RetrievalMetric(Metric):
    """A figure of ranks, from queries to the gallery or in reverse."""

    targets = RETRIEVAL
    reverse: ClassVar[bool] = False

    def __call__(self, scores: Tensor, target: Tensor) -> float:
        check_scores(self.name, scores, target)
        relevant = relevance(scores, target)
        if self.reverse:
            scores, relevant = scores.T, relevant.T
        ranks = ranks_of(scores, relevant)
        last = torch.full((1,), scores.shape[1], dtype=torch.float64)
        return self.measure(ranks if len(ranks) else last)

    @abstractmethod
    def measure(self, ranks: Tensor) -> float:
        """The figure of ranks (queries,), from 1; there is at least one."""


def relevance(scores: Tensor, target: Tensor) -> Tensor:
    """(queries, gallery) booleans from either form of the target."""
    if target.ndim == 2 and target.shape == scores.shape:
        return target.bool()
    inside = target.ndim == 1 and int(target.min()) >= 0 and int(target.max()) < scores.shape[1]
    if not inside:
        raise InvalidSpec(
            f"A retrieval target is (queries,) indices below {scores.shape[1]}, or booleans "
            f"{tuple(scores.shape)}; got {tuple(target.shape)} {target.dtype}."
        )
    return torch.nn.functional.one_hot(target.long(), scores.shape[1]).bool()


def ranks_of(scores: Tensor, relevant: Tensor) -> Tensor:
    """(asked,) rank of the best relevant item of every query that has one."""
    asked = relevant.any(dim=1)
    scores, relevant = scores[asked], relevant[asked]
    best = scores.masked_fill(~relevant, -torch.inf).amax(dim=1, keepdim=True)
    above = ((scores > best) & ~relevant).sum(dim=1)
    level = ((scores == best) & ~relevant).sum(dim=1)
    return 1 + above + level.double() / 2


class RecallAt1(RetrievalMetric):
    """Share of queries whose best relevant item is among the first ``k``."""

    name = "recall-at-1"
    k: ClassVar[int] = 1

    def measure(self, ranks: Tensor) -> float:
        return (ranks <= self.k).double().mean().item()


class RecallAt5(RecallAt1):
    name = "recall-at-5"
    k = 5


class RecallAt10(RecallAt1):
    name = "recall-at-10"
    k = 10


class MeanReciprocalRank(RetrievalMetric):
    """Mean of 1 / rank (Voorhees, TREC-8 1999)."""

    name = "mrr"

    def measure(self, ranks: Tensor) -> float:
        return ranks.reciprocal().mean().item()


class MedianRank(RetrievalMetric):
    """The middle rank, of an even number the mean of the two middle ones; 1 is the best."""

    name = "median-rank"
    higher_is_better = False

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


@hookimpl
def register_metrics() -> list[type[Metric]]:
    return [
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
