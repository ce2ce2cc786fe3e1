"""InfoNCE within a batch, where rows may share values and may miss modalities.

van den Oord, Li & Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018
(https://arxiv.org/abs/1807.03748).
"""

import torch
from torch import Tensor

from mmbench.objectives._present import mean_over


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
