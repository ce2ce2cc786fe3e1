"""What turns the fused vector into outputs."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from torch import Tensor, nn


class Head(nn.Module, ABC):
    """Turns the fused vector into the task's outputs."""

    name: ClassVar[str]
    offered: ClassVar[Literal["always", "named"]] = "always"
    """Whether a search tries it unasked."""
    batched: ClassVar[bool] = True
    """As for fusions: members can train together under ``torch.func.vmap``."""

    def __init__(self, in_dim: int, n_outputs: int) -> None:
        super().__init__()
        self.in_dim, self.n_outputs = in_dim, n_outputs

    @abstractmethod
    def forward(self, fused: Tensor) -> Tensor:
        """(batch, in_dim) to (batch, n_outputs): logits, or numbers for regression."""
