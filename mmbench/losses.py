"""The supervised loss of each kind of target, one value per sample."""

from torch import Tensor
from torch.nn import functional as F

from mmbench.errors import Incompatible
from mmbench.types import TargetKind


def supervised_loss(kind: TargetKind, scores: Tensor, target: Tensor) -> Tensor:
    """(batch,): cross-entropy, mean binary cross-entropy over labels, or squared error.

    There is none for retrieval, whose paradigms compare the rows of a batch with each other.
    """
    if kind == "retrieval":
        raise Incompatible(
            "A retrieval task has no loss per sample; choose a contrastive objective."
        )
    if kind == "classification":
        return F.cross_entropy(scores, target, reduction="none")
    if kind == "multilabel":
        return F.binary_cross_entropy_with_logits(
            scores, target.to(scores.dtype), reduction="none"
        ).mean(-1)
    return (scores - target.reshape(scores.shape)).square().mean(-1)
