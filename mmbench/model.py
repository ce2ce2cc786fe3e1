"""Encoders, then fusion, then head: the whole model is this file."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from mmbench.contracts import Encoder, Fitted, Fused, Fusion, Head, Model, Objective, Outputs
from mmbench.pieces import encode_in_pieces, respond_in_pieces
from mmbench.resolve import Resolved
from mmbench.seeds import global_stream
from mmbench.spec import FLOAT32
from mmbench.types import Column, Encoded, Features, Split

CONSTANT = "constant"
"""The feature of a model that reads nothing: the majority baseline."""

SHARED_WIDTH = 64
"""What each modality is projected to where all share one head."""


class FusionModel(Model):
    """From a batch of columns to outputs.

    A feature-level fusion runs before the head. A decision-level one runs after it: the head is
    applied to each modality, and the fusion combines what they say.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        fusion: Fusion,
        head: Head | None,
        unimodal_heads: Mapping[str, nn.Module],
        precision: str = FLOAT32,
    ) -> None:
        super().__init__()
        self.precision = precision
        self.micro_batch: int | None = None
        # rows whose activations are in memory at once; None: those of the whole batch
        self.encoders = nn.ModuleDict(encoders)
        self.fusion = fusion
        self.head = head
        self.unimodal_heads = nn.ModuleDict(unimodal_heads)
        self.augmentations = nn.ModuleDict()
        # what changes the values of a modality at random in training, before its encoder

    def forward(self, batch: Split) -> Outputs:
        return self.respond(self.encode(batch))

    def respond(self, features: Features) -> Outputs:
        """From features to outputs."""
        return respond_in_pieces(self._respond, features, self.micro_batch)

    def _respond(self, features: Features) -> Outputs:
        unimodal = self.decide_alone(features)
        fused = self.fuse(features, unimodal)
        return Outputs(
            self.decide(fused.vector),
            fused.vector,
            unimodal,
            features,
            fused.penalty,
            fused.weights,
        )

    @property
    def encoders_by_modality(self) -> dict[str, Encoder]:
        return cast(dict[str, Encoder], dict(self.encoders.items()))

    @property
    def unimodal_heads_by_modality(self) -> dict[str, nn.Module]:
        return dict(self.unimodal_heads.items())

    def encode(self, batch: Split) -> Features:
        """Every modality as tokens, each distinct value encoded once."""
        if not self.encoders:
            ones = torch.ones(len(batch), 1, device=batch.target.device)
            return {CONSTANT: Encoded.vector(ones)}
        return {m: self._encode(m, batch.columns[m]) for m in self.encoders}

    def _encode(self, modality: str, column: Column) -> Encoded:
        values = column.values
        if isinstance(values, Encoded):
            return column.spread(values)
        values, encoder = cast(Tensor, values), self.encoders[modality]
        if self.training and modality in self.augmentations:
            values = self.augmentations[modality](values)
        with self._autocast(values, wanted=not encoder.frozen):  # as its cached features are
            encoded = encode_in_pieces(encoder, values, self.micro_batch)
        return column.spread(encoded.each(full))

    def _autocast(self, tensor: Tensor, *, wanted: bool = True) -> AbstractContextManager[None]:
        """Products in the precision asked for; weights, sums and losses stay in float32."""
        if self.precision == FLOAT32 or not wanted:
            return nullcontext()
        return torch.autocast(tensor.device.type, torch.bfloat16)

    def decide_alone(self, features: Features) -> dict[str, Tensor]:
        """What each modality's own head says: (batch, n_outputs) by modality, or nothing."""
        pooled = {m: features[m].pooled for m in self.unimodal_heads}
        with self._autocast(next(iter(features.values())).tokens):
            return {m: full(head(pooled[m])) for m, head in self.unimodal_heads.items()}

    def fuse(self, features: Features, unimodal: Mapping[str, Tensor]) -> Fused:
        """Combine features, or the decisions made of them, into one vector per sample."""
        if self.fusion.capabilities.level == "decision":
            features = {m: Encoded.vector(x, features[m].present) for m, x in unimodal.items()}
        with self._autocast(next(iter(features.values())).tokens):
            fused = self.fusion(features)
        fused = fused if isinstance(fused, Fused) else Fused(fused)
        return replace(fused, vector=full(fused.vector))

    def decide(self, fused: Tensor) -> Tensor:
        if self.head is None:
            return fused
        with self._autocast(fused):
            return full(self.head(fused))

    def train(self, mode: bool = True) -> "FusionModel":  # noqa: FBT001, FBT002 - torch's signature
        """A frozen encoder stays in evaluation mode, so that cached features equal live ones.

        It is not visited again: a pretrained one has hundreds of parts, and modes change twice an
        epoch.
        """
        self.training = mode
        for name, child in self.named_children():
            if name != "encoders":
                child.train(mode)
        for encoder in self.encoders.values():
            if not encoder.frozen:
                encoder.train(mode)
            elif encoder.training:
                encoder.eval()
        return self


def full(tensor: Tensor) -> Tensor:
    """What is computed in half precision as float32; anything else as it is."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor


def build_encoders(resolved: Resolved, fitted: Mapping[str, Fitted]) -> dict[str, Encoder]:
    """The encoders of a spec from what they learnt of the training columns."""
    spec = resolved.spec
    with global_stream(spec.seed, "encoders"):
        return {
            m: cls(fitted[m], **spec.encoders[m].params) for m, cls in resolved.encoders.items()
        }


def build_model(resolved: Resolved, encoders: Mapping[str, Encoder]) -> FusionModel:
    """The whole model; fusion and heads draw their weights from streams of their own."""
    spec, n_outputs = resolved.spec, resolved.task.n_outputs
    dims = {m: e.out_dim for m, e in encoders.items()} or {CONSTANT: 1}
    decision_level = resolved.fusion.capabilities.level == "decision"
    needs_unimodal = decision_level or resolved.objective.needs_unimodal
    with global_stream(spec.seed, "fusion"):
        decided = resolved.fusion.decides(n_outputs, **spec.fusion.params)
        fusion_dims = dict.fromkeys(dims, decided) if decision_level else dims
        fusion = resolved.fusion(fusion_dims, **spec.fusion.params)
    with global_stream(spec.seed, "heads"):
        head = (
            None if decision_level else resolved.head(fusion.out_dim, n_outputs, **spec.head.params)
        )
        unimodal = _unimodal_heads(resolved, dims, decided) if needs_unimodal else {}
    return FusionModel(encoders, fusion, head, unimodal, spec.train.precision)


def _unimodal_heads(
    resolved: Resolved, dims: Mapping[str, int], n_outputs: int
) -> dict[str, nn.Module]:
    """A head for each modality; or one for all, behind a projection from each."""
    params = resolved.spec.head.params
    if not resolved.objective.shares_head:
        return {m: resolved.head(d, n_outputs, **params) for m, d in dims.items()}
    shared = resolved.head(SHARED_WIDTH, n_outputs, **params)
    return {m: nn.Sequential(nn.Linear(d, SHARED_WIDTH), shared) for m, d in dims.items()}


def build_objective(resolved: Resolved, model: FusionModel) -> Objective:
    """The training paradigm of a spec, with the widths of the model it is for."""
    spec, task = resolved.spec, resolved.task
    dims = {m: e.out_dim for m, e in model.encoders_by_modality.items()} or {CONSTANT: 1}
    with global_stream(spec.seed, "objective"):
        return resolved.objective(task, dims, model.fusion.out_dim, **spec.objective.params)
