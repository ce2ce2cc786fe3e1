"""What encoders have in common that are fitted to the target of the training rows."""

from torch import Tensor
from torch.nn import functional as F

from mmbench.types import TargetKind

LENGTH = 8.0
"""Of their vectors, however wide: that of 64 standardised numbers. A step of the optimiser moves
each weight by as much, so that without it the wide would learn by heart at the usual rates."""


def outputs(target: Tensor, kind: TargetKind) -> Tensor:
    """(rows, outputs) numbers of variance one for regression, zeros and ones else.

    Not defined for retrieval, which has no target but the other modality.
    """
    if kind == "classification":
        return F.one_hot(target).float()
    numbers = target.float().reshape(len(target), -1)
    if kind == "multilabel":
        return numbers
    return (numbers - numbers.mean(0)) / (numbers.std(0, correction=0) + 1e-6)
