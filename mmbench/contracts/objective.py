"""The training paradigm, and what it may see and touch of a training."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from mmbench.contracts.encoder import Encoder
from mmbench.contracts.fusion import Fusion
from mmbench.contracts.head import Head
from mmbench.types import ALL_TARGETS, Features, Split, TargetKind, Task


@dataclass(frozen=True, slots=True)
class Outputs:
    """Everything a model says of a batch."""

    scores: Tensor  # (batch, n_outputs); of retrieval (batch, 2 × width), side by side
    fused: Tensor  # (batch, dim), what the head read
    unimodal: Mapping[str, Tensor] = field(default_factory=dict)
    """(batch, n_outputs) per modality, where the model has a head for each."""
    features: Features = field(default_factory=dict)
    penalty: Tensor | None = None
    weights: Tensor | None = None


class Model(nn.Module, ABC):
    """What an objective sees of the model it trains."""

    fusion: Fusion
    head: Head | None
    """None for a decision-level fusion, whose unimodal heads do its work."""

    @property
    @abstractmethod
    def encoders_by_modality(self) -> dict[str, Encoder]:
        """Frozen ones included."""

    @property
    @abstractmethod
    def unimodal_heads_by_modality(self) -> dict[str, nn.Module]:
        """The head of each modality, where the fusion or the objective needs them; else empty."""

    @abstractmethod
    def encode(self, batch: Split) -> Features:
        """The features of a batch; cached ones are taken as they are."""

    @abstractmethod
    def respond(self, features: Features, target: Tensor | None = None) -> Outputs:
        """What the model makes of features: its own, or such as an objective has altered.

        ``target``: what is right, told to a decoder in training and to nothing else. Without it a
        decoder says what it will say when nobody knows.
        """


class Course(ABC):
    """What there is besides a step: the data and the length of the training. Never the test part.

    ``val`` is there for what a paradigm measures by itself, such as how much each head overfits.
    """

    train: Split
    val: Split
    epochs: int
    """How many epochs there are at most: as many as the trial names (``train.max_epochs``).

    With few rows a training gets more passes over them. Then an epoch is several: what is counted
    in epochs, a warm-up or an annealing, is as long a part of a training on few rows as of one on
    many."""

    @abstractmethod
    def batches(self, split: Split) -> Iterator[Split]:
        """All rows of a split in order, in batches on the model's device."""

    @abstractmethod
    def practise(
        self, loss: Callable[[Split], Tensor], modules: Sequence[nn.Module], epochs: int
    ) -> None:
        """Train ``modules`` alone on the training part, with the settings of the trial.

        ``loss`` maps a batch to a scalar. For what comes before the training proper: teachers,
        encoders trained by themselves.
        """


class Objective(nn.Module, ABC):
    """The training paradigm: how a model's outputs become a loss, and what is done with gradients.

    Most paradigms are a formula: they write ``forward``. One that alters features or runs the model
    more than once writes ``loss``, one that alters gradients or updates more than once per batch
    writes ``step``, one that needs to know the data first writes ``begin`` or ``begin_epoch``.
    Its own parameters train with the model's, without weight decay, for most are no weights but
    quantities with a meaning of their own: a temperature, a variance. They are thrown away with it
    after training.
    """

    name: ClassVar[str]
    offered: ClassVar[Literal["always", "named"]] = "always"
    """Whether a search tries it unasked."""
    targets: ClassVar[frozenset[TargetKind]] = ALL_TARGETS
    min_modalities: ClassVar[int] = 1
    """Of the task: with fewer it is refused, before anything is built. Two, where all it does is
    between modalities."""
    max_modalities: ClassVar[int | None] = None
    """With more it is refused."""
    needs_unimodal: ClassVar[bool] = False
    """It reads ``outputs.unimodal``: the model gets a head for each modality."""
    shares_head: ClassVar[bool] = False
    """The unimodal heads are one head behind a projection per modality."""
    acts_on_encoders: ClassVar[bool] = False
    """All it does it does to encoders as they train: where all are frozen it is the plain paradigm,
    and a search does not try it."""
    acts_on_heads: ClassVar[bool] = False
    """All it does it does to encoders and to the head of each modality: where all encoders are
    frozen it is the plain paradigm, but for a fusion that combines what these heads say."""
    requires: ClassVar[Mapping[Literal["fusion", "head"], Sequence[str]]] = {}
    """The only fusions or heads that it is defined with, the natural one first."""
    batched: ClassVar[bool] = True
    """Members can train together under ``torch.func.vmap``: ``forward`` and ``loss`` are pure.
    One that has its own ``step``, ``rows`` or ``begin_epoch`` is trained alone whatever it says."""

    def __init__(self, task: Task, dims: Mapping[str, int], fused_dim: int) -> None:
        """``dims``: the width of each modality's features; ``fused_dim``: of the fused vector."""
        super().__init__()
        self.task, self.dims, self.fused_dim = task, dict(dims), fused_dim

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.dims)

    @abstractmethod
    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        """The loss of a batch, a scalar, but for the fusion's own penalty."""

    def begin(self, model: Model, course: Course) -> None:
        """Before the first step, with the model as it was initialised."""

    def begin_epoch(self, epoch: int, model: Model, course: Course) -> None:
        """Before each epoch as ``course`` counts them, from 0; the model is in evaluation mode."""

    def rows(self, order: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """The rows of an epoch in the order they are seen; ``order`` holds each row once."""
        return order

    def loss(self, model: Model, batch: Split) -> Tensor:
        """The whole loss of a batch: a forward pass, this objective, the fusion's penalty."""
        outputs = model.respond(model.encode(batch), batch.target)
        return with_penalty(self(outputs, batch.target), outputs)

    def step(self, model: Model, batch: Split, update: Callable[[], None]) -> Tensor:
        """Learn from one batch; returns its loss, detached.

        ``update`` clips the gradients, lets the optimiser use them and clears them.
        """
        loss = self.loss(model, batch)
        loss.backward()
        update()
        return loss.detach()


def with_penalty(loss: Tensor, outputs: Outputs) -> Tensor:
    """Add what the fusion itself asks for (batch,), such as a divergence or a cost."""
    return loss if outputs.penalty is None else loss + outputs.penalty.mean()
