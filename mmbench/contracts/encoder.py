"""What turns one modality into features."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from mmbench.types import Column, Encoded, Kind, TargetKind, Values

Offered = Literal["always", "gpu", "named"]

Fitted = Mapping[str, Any]
"""What an encoder learnt from the training column, as JSON: sizes, vocabulary, normalisation."""


class Encoder(nn.Module, ABC):
    """Turns the values of one modality into tokens, mask and pooled vector."""

    name: ClassVar[str]
    accepts: ClassVar[Kind]
    emits_sequences: ClassVar[bool] = False
    """It emits more than one token for ordinary inputs."""
    offered: ClassVar[Offered] = "always"
    """When a search tries it unasked: on every device, on a GPU only, or only when it is named."""
    out_dim: int
    frozen: bool = False
    """No parameter trains: its features are computed once and cached."""
    batched: ClassVar[bool] = True
    """As for fusions: members can train together under ``torch.func.vmap``."""
    needs_target: ClassVar[bool] = False
    """It is fitted to classes, labels or numbers: a task without them does not offer it."""
    unknown_id: ClassVar[int | None] = None
    """Of text that is read as ids: that of a word never seen. Ids below it are no words."""

    def __init__(self, fitted: Fitted) -> None:
        super().__init__()
        self.fitted = fitted

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """What must be known of the *training* column before the encoder can be built.

        JSON-able, so that a saved model is rebuilt without the data.
        """
        if not isinstance(train.values, Tensor):
            raise TypeError(f"{cls.__name__} must override `fit`: its values are not tensors.")
        return {"shape": list(train.values.shape[1:])}

    @classmethod
    def fit_to_target(cls, train: Column, target: Tensor, kind: TargetKind) -> Fitted:  # noqa: ARG003
        """As ``fit``, for an encoder that learns which values go with which target.

        ``target`` (rows, …) of the training rows, as a split has it. What an encoder has learnt is
        part of the key of its cached features, so those of another target are others.
        """
        return cls.fit(train)

    def prepare(self, values: Values) -> Values:
        """Raw values to what ``forward`` reads, once per column and without gradients."""
        return values

    @abstractmethod
    def forward(self, inputs: Tensor) -> Encoded:
        """Encode ``inputs`` (values, …): one entry per value."""
