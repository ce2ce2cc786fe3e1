"""What encoders have in common that are fitted to the target of the training rows."""

from torch import Tensor
from torch.nn import functional as F

from mmbench.errors import Incompatible
from mmbench.types import ALL_TARGETS, TargetKind


def outputs(target: Tensor, kind: TargetKind) -> Tensor:
    """(rows, outputs) numbers of variance one for regression, zeros and ones else.

    Raises ``Incompatible`` for targets that are neither numbers nor classes.
    """
    if kind not in ALL_TARGETS:
        raise Incompatible(f"Features fitted to a target need numbers or classes; {kind} has none.")
    if kind == "classification":
        return F.one_hot(target).float()
    numbers = target.float().reshape(len(target), -1)
    if kind == "multilabel":
        return numbers
    return (numbers - numbers.mean(0)) / (numbers.std(0, correction=0) + 1e-6)
