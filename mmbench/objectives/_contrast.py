"""InfoNCE within a batch, where rows may share values and may miss modalities.

van den Oord, Li & Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018
(https://arxiv.org/abs/1807.03748).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmbench.contracts import Outputs
from mmbench.objectives._present import mean_over, present_in

COLDEST, HOTTEST = 0.01, 1.0


class Temperature(nn.Module):
    """What similarities are divided by: always between its bounds and never without a slope."""

    def __init__(self, start: float, *, learned: bool) -> None:
        super().__init__()
        place = (math.log(start) - math.log(COLDEST)) / math.log(HOTTEST / COLDEST)
        warmth = torch.logit(torch.tensor(place))
        self.warmth: Tensor
        if learned:
            self.warmth = nn.Parameter(warmth)
        else:
            self.register_buffer("warmth", warmth)

    def forward(self) -> Tensor:
        """A scalar."""
        return COLDEST * (HOTTEST / COLDEST) ** self.warmth.sigmoid()


class Matching(NamedTuple):
    """A batch of a retrieval task: every row's first side against every row's second side."""

    similarity: Tensor  # (batch, batch)
    counted: Tensor  # (batch,), True where both sides are there
    distinct: Tensor
    """(batch, batch), True where two rows share no item: the side of one and the other side of the
    other do not belong together. Where it is False, they do."""

    @property
    def reverse(self) -> "Matching":
        return Matching(self.similarity.T, self.counted, self.distinct.T)


def matching(outputs: Outputs, target: Tensor, modalities: tuple[str, ...]) -> Matching:
    """From embeddings (batch, 2 × width) and the items of both sides (batch, 2)."""
    one, other = outputs.scores.chunk(2, dim=1)
    counted = present_in(outputs, modalities[0]) & present_in(outputs, modalities[1])
    distinct = (target.unsqueeze(0) != target.unsqueeze(1)).all(dim=-1)
    return Matching(one @ other.T, counted, distinct)


def unlike(vectors: Tensor) -> Tensor:
    """(batch, batch), True where two rows of ``vectors`` (batch, dim) are not the very same."""
    fixed = vectors.detach()
    # the sum of absolute differences: exactly zero for equal rows, without a (batch, batch, dim)
    return torch.cdist(fixed, fixed, p=1.0) > 0


def info_nce(similarity: Tensor, counted: Tensor, distinct: Tensor) -> Tensor:
    """The mean over anchors of ``−log(e^s_ii / (e^s_ii + Σ_j e^s_ij))``, a scalar.

    ``similarity`` is (batch, batch), of anchor i and candidate j. Anchors are the rows ``counted``
    (batch,); the negatives j of i are other counted rows with ``distinct`` (batch, batch) True. An
    anchor without negatives costs nothing.
    """
    own = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    allowed = own | (counted.unsqueeze(0) & distinct)
    candidates = similarity.masked_fill(~allowed, -torch.inf)
    return mean_over(candidates.logsumexp(dim=1) - similarity.diagonal(), counted)
