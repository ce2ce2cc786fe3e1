"""What turns the features of all modalities into one vector per sample."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from mmbench.contracts.encoder import Offered
from mmbench.types import FUSED_TARGETS, Features, TargetKind


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a fusion needs, what it tolerates and what it claims. The contract kit tests each."""

    min_modalities: int = 1
    max_modalities: int | None = None
    needs_sequences: bool = False
    """Every encoder must emit more than one token (attention over one key is a constant)."""
    handles_missing: bool = False
    """A missing modality (mask all False) leaves no trace of its values in the output."""
    level: Literal["feature", "decision"] = "feature"
    """``decision``: the head runs on each modality and the fusion combines the heads' outputs."""
    targets: frozenset[TargetKind] = FUSED_TARGETS
    """What its vector can answer. For a sequence that is every place at once: one that takes all
    outputs for rival classes has no answer. For retrieval it is an embedding of each modality, side
    by side: what an index holds of an item must not depend on who asks for it."""
    interaction: bool = False
    """Under a linear head it can represent products of modalities: it learns exclusive-or."""
    batched: bool = True
    """Members can train together under ``torch.func.vmap``: no in-place state, no data-dependent
    shapes, no ``.item()``."""


@dataclass(frozen=True, slots=True)
class Fused:
    """What a fusion may return instead of a plain vector."""

    vector: Tensor  # (batch, out_dim)
    penalty: Tensor | None = None
    """(batch,) added to the training loss: a divergence, a cost, an auxiliary term."""
    weights: Tensor | None = None
    """(batch, modality) how much each modality counted, in the order of ``dims``; for reports."""


class Fusion(nn.Module, ABC):
    """Turns ``{modality: Encoded}`` into one vector per sample.

    Functional: what a sample gets never depends on its batch mates, and nothing is kept between
    calls. ``dims`` maps each modality to the width of its tokens; for a decision-level fusion it is
    what ``decides`` says, and ``pooled`` holds the outputs of that modality's own head.
    """

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities] = Capabilities()
    offered: ClassVar[Offered | Literal["baseline"]] = "always"
    """As for encoders; a ``baseline`` is no candidate but a reference of every search."""
    out_dim: int

    def __init__(self, dims: Mapping[str, int]) -> None:
        super().__init__()
        self.dims = dict(dims)

    @classmethod
    def reads(cls, modalities: Sequence[str], **params: Any) -> Sequence[str]:  # noqa: ARG003
        """The modalities it uses; the others are not even encoded."""
        return modalities

    @classmethod
    def decides(cls, n_outputs: int, **params: Any) -> int:  # noqa: ARG003
        """How many numbers the head of each modality gives, at the decision level."""
        return n_outputs

    @abstractmethod
    def forward(self, features: Features) -> Tensor | Fused:
        """Fuse into (batch, out_dim)."""
