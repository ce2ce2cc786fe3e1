"""A model as one graph of tensor operations, for ``torch.export.load`` and what reads that."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from mmbench.errors import brief
from mmbench.model import FusionModel
from mmbench.saved import SavedModel
from mmbench.types import Column, Split

GRAPH = "model.pt2"
TOLERANCE = 1e-4
"""Largest difference of a score between a graph and the model."""
TRIED = 8
"""Requests that both are asked."""

Inputs = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Parity:
    """How near a graph is to its model."""

    difference: float | None
    """The largest difference of a score; None where there is no graph."""
    reason: str = ""
    """Why there is no graph."""


class Graph(nn.Module):
    """Inputs by modality, prepared as ``prepare`` does, to scores (batch, n_outputs)."""

    def __init__(self, model: FusionModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Inputs) -> Tensor:
        scores: Tensor = self.model(_batch(inputs)).scores
        return scores


class NotTraced(Exception):
    """A model is no graph; the message says which part of it, and why."""


def write_graph(saved: SavedModel, folder: Path) -> Parity:
    """``model.pt2`` in ``folder``, unless it would differ from the model."""
    try:
        inputs = some_inputs(saved)
        program = traced(saved.model, inputs)
        difference = differs(saved.model, inputs, program.module())
    except NotTraced as reason:
        return Parity(None, str(reason))
    if not difference <= TOLERANCE:
        return Parity(None, f"it differs from the model by {difference:.2g}")
    with warnings.catch_warnings():  # of weights that do not lie row by row: they are kept so
        warnings.filterwarnings("ignore", "No complete tensor found in the group")
        torch.export.save(program, folder / GRAPH)
    return Parity(difference)


def some_inputs(saved: SavedModel) -> Inputs:
    """By modality, one entry per row, of a few whole requests. ``NotTraced`` if there are none."""
    if not saved.model.encoders_by_modality:
        raise NotTraced("the model reads nothing")
    columns = saved.requests.columns
    there = torch.stack([column.present for column in columns.values()])
    whole = there.all(0).nonzero().flatten()[:TRIED]
    if not len(whole):
        raise NotTraced("every request kept with the model misses a modality")
    found: Inputs = {}
    for modality, column in columns.items():
        assert isinstance(column.values, Tensor)
        found[modality] = column.values[column.value_of_row[whole]]
    return found


def traced(model: FusionModel, inputs: Inputs) -> ExportedProgram:
    """For any number of rows. ``NotTraced`` names the part that cannot be."""
    try:
        return _export(Graph(model).eval(), inputs)
    except Exception as error:  # noqa: BLE001 - a component of any author may not be traceable
        reason = brief(error).rstrip(".")
        raise NotTraced(f"{_culprit(model, inputs)}: {reason}") from None


def differs(model: FusionModel, inputs: Inputs, graph: Callable[[Inputs], Tensor]) -> float:
    """The largest difference of a score between a graph and the model."""
    with torch.no_grad():
        return float((graph(inputs) - Graph(model).eval()(inputs)).abs().max())


def _export(module: nn.Module, inputs: Inputs) -> ExportedProgram:
    rows = torch.export.Dim("batch")
    with torch.no_grad(), warnings.catch_warnings():  # recurrent layers list their weights anew
        warnings.filterwarnings("ignore", "The tensor attributes .* were assigned during export")
        shapes = {"inputs": {m: {0: rows} for m in inputs}}
        return torch.export.export(module, (inputs,), dynamic_shapes=shapes)


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
