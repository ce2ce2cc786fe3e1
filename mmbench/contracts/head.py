"""What turns the fused vector into outputs."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, get_args

from torch import Tensor, nn

from mmbench.types import TargetKind


class Head(nn.Module, ABC):
    """Turns the fused vector into the task's outputs."""

    name: ClassVar[str]
    offered: ClassVar[Literal["always", "named"]] = "always"
    """Whether a search tries it unasked."""
    targets: ClassVar[frozenset[TargetKind]] = frozenset(get_args(TargetKind))
    batched: ClassVar[bool] = True
    """As for fusions: members can train together under ``torch.func.vmap``."""

    def __init__(self, in_dim: int, n_outputs: int) -> None:
        super().__init__()
        self.in_dim, self.n_outputs = in_dim, n_outputs

    @abstractmethod
    def forward(self, fused: Tensor) -> Tensor:
        """(batch, in_dim) to (batch, n_outputs): logits, or numbers for regression."""


class Decoder(Head):
    """A head that says a sequence token by token, each after those that it has said.

    Other heads say all places at once (see ``mmbench.sequences``), each without a look at the next.
    """

    targets = frozenset({"sequence"})

    def __init__(self, in_dim: int, n_outputs: int, length: int) -> None:
        """``length``: how many places a sequence has; each has ``n_outputs / length`` tokens."""
        super().__init__(in_dim, n_outputs)
        self.length, self.n_tokens = length, n_outputs // length

    @abstractmethod
    def forward(self, fused: Tensor, target: Tensor | None = None) -> Tensor:
        """(batch, in_dim) to (batch, length × tokens): the logits at each place in turn.

        Before each place it has said the likeliest tokens of the places before. In training
        ``target`` (batch, length) stands in for these (teacher forcing: Williams & Zipser, Neural
        Computation 1989); what is said at a place depends on none that is not before it.
        """
