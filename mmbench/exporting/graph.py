"""A model as one graph of tensor operations, for ``torch.export.load`` and what reads that."""

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from mmbench.errors import brief
from mmbench.exporting.inputs import Inputs, NotTraced, asks, long_inputs, reads
from mmbench.model import FusionModel
from mmbench.saved import SavedModel
from mmbench.types import Column, Split

GRAPH = "model.pt2"
TOLERANCE = 1e-4
"""Largest difference of a score between a graph and the model."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How near a graph is to its model."""

    difference: float | None
    """The largest difference of a score; None where there is no graph."""
    reason: str = ""
    """Why there is no graph."""
    reads: Mapping[str, str] = field(default_factory=dict)
    """By modality: of what type and sizes its inputs are."""


class Graph(nn.Module):
    """Inputs by modality, prepared as ``prepare`` does, to scores (batch, n_outputs)."""

    def __init__(self, model: FusionModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Inputs) -> Tensor:
        scores: Tensor = self.model(_batch(inputs)).scores
        return scores


def write_graph(saved: SavedModel, folder: Path) -> Parity:
    """``model.pt2`` in ``folder``, unless it would differ from the model."""
    try:
        inputs = long_inputs(saved)
        program = traced(saved.model, inputs)
        difference = differs(saved.model, asks(program, inputs), program.module())
    except NotTraced as reason:
        return Parity(None, str(reason))
    except (AssertionError, RuntimeError) as error:
        return Parity(None, f"it answers only as many rows as it was made with: {brief(error)}")
    if not difference <= TOLERANCE:
        return Parity(None, f"it differs from the model by {difference:.2g}")
    with warnings.catch_warnings():  # of weights that do not lie row by row: they are kept so
        warnings.filterwarnings("ignore", "No complete tensor found in the group")
        torch.export.save(program, folder / GRAPH)
    return Parity(difference, reads=reads(program, inputs))


def traced(model: FusionModel, inputs: Inputs) -> ExportedProgram:
    """For any number of rows; of words where it can be. ``NotTraced`` names what cannot be."""
    try:
        return _as_open_as_can_be(model, inputs)
    except Exception as error:  # noqa: BLE001 - a component of any author may not be traceable
        reason = brief(error).rstrip(".")
        raise NotTraced(f"{_culprit(model, inputs)}: {reason}") from None


def differs(
    model: FusionModel, asked: Iterable[Inputs], graph: Callable[[Inputs], Tensor]
) -> float:
    """The largest difference of a score between a graph and the model."""
    itself = Graph(model).eval()
    with torch.no_grad():
        gaps = [(graph(inputs) - itself(inputs)).abs().max() for inputs in asked]
    return float(torch.stack(gaps).max())


def _export(module: nn.Module, inputs: Inputs, texts: Collection[str] = ()) -> ExportedProgram:
    rows, words = torch.export.Dim("batch"), torch.export.Dim.AUTO
    shapes = {
        m: {0: rows, 1: words} if m in texts and x.ndim == 2 else {0: rows}
        for m, x in inputs.items()
    }
    with torch.no_grad(), warnings.catch_warnings():  # recurrent layers list their weights anew
        warnings.filterwarnings("ignore", "The tensor attributes .* were assigned during export")
        return torch.export.export(module, (inputs,), dynamic_shapes={"inputs": shapes})


def _as_open_as_can_be(model: FusionModel, inputs: Inputs) -> ExportedProgram:
    program = _export(Graph(model).eval(), inputs, _texts(model))
    if _takes(program, asks(program, inputs)):
        return program
    return _export(Graph(model).eval(), inputs)


def _takes(program: ExportedProgram, asked: Iterable[Inputs]) -> bool:
    """Whether a graph is for all of these: some sizes that it leaves open are bound by others."""
    module = program.module()
    try:
        for inputs in asked:
            module(inputs)
    except (AssertionError, RuntimeError):
        return False
    return True


def _texts(model: FusionModel) -> set[str]:
    return {m for m, encoder in model.encoders_by_modality.items() if encoder.accepts == "text"}


class _Encoder(nn.Module):
    """One encoder alone."""

    def __init__(self, model: FusionModel, modality: str) -> None:
        super().__init__()
        self.encoder, self.modality = model.encoders[modality], modality

    def forward(self, inputs: Inputs) -> Tensor:
        pooled: Tensor = self.encoder(inputs[self.modality]).pooled
        return pooled


def _culprit(model: FusionModel, inputs: Inputs) -> str:
    """The first part that cannot be traced by itself, in words."""
    for modality, encoder in model.encoders_by_modality.items():
        try:
            _export(_Encoder(model, modality).eval(), {modality: inputs[modality]})
        except Exception:  # noqa: BLE001 - the same
            return f"the encoder {encoder.name} of {modality} cannot be traced"
    return f"the fusion {model.fusion.name} or what follows it cannot be traced"


def _batch(inputs: Inputs) -> Split:
    first = next(iter(inputs.values()))
    return Split({m: Column(v) for m, v in inputs.items()}, first.new_zeros(first.shape[0]))
