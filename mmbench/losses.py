"""The supervised loss of each kind of target, one value per sample."""

from torch import Tensor
from torch.nn import functional as F

from mmbench.errors import Incompatible
from mmbench.sequences import by_place, counted
from mmbench.types import TargetKind


def supervised_loss(kind: TargetKind, scores: Tensor, target: Tensor) -> Tensor:
    """(batch,): cross-entropy, mean binary cross-entropy over labels, or squared error.

    Of a sequence: the mean cross-entropy of its tokens, the end included.

    There is none for retrieval, whose paradigms compare the rows of a batch with each other.
    """
    if kind == "retrieval":
        raise Incompatible(
            "A retrieval task has no loss per sample; choose a contrastive objective."
        )
    if kind == "classification":
        return F.cross_entropy(scores, target, reduction="none")
    if kind == "sequence":
        real = counted(target)
        logs = by_place(scores, target.shape[-1]).log_softmax(-1)
        each = -logs.gather(-1, target.unsqueeze(-1)).squeeze(-1)  # (batch, length)
        return (each * real).sum(-1) / real.sum(-1)
    if kind == "multilabel":
        return F.binary_cross_entropy_with_logits(
            scores, target.to(scores.dtype), reduction="none"
        ).mean(-1)
    return (scores - target.reshape(scores.shape)).square().mean(-1)
