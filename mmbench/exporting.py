"""The winner as a folder of its own: weights, spec, preprocessing, a card, and a compiled graph.

The graph (``torch.export``) runs without mmbench; it is kept only if it says what the model says.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mmbench.errors import StorageError
from mmbench.files import write_whole
from mmbench.leaderboard.row import Row
from mmbench.model import FusionModel
from mmbench.plugins import Plugins
from mmbench.saved import SavedModel, load_model
from mmbench.types import Column, Split

GRAPH, CARD = "model.pt2", "README.md"
TOLERANCE = 1e-4
"""Largest difference of a score between the graph and the model."""
TRIED = 8
"""Requests that both are asked."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and how near the graph is to the model."""

    folder: Path
    difference: float | None
    """The largest difference of a score; None where there is no graph."""
    reason: str = ""
    """Why there is no graph."""


class Graph(nn.Module):
    """Inputs by modality, prepared as ``prepare`` does, to scores (batch, n_outputs)."""

    def __init__(self, model: FusionModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        first = next(iter(inputs.values()))
        batch = Split({m: Column(v) for m, v in inputs.items()}, first.new_zeros(first.shape[0]))
        scores: Tensor = self.model(batch).scores
        return scores


def export_model(model: Path, out: Path, plugins: Plugins, row: Row | None) -> Exported:
    """Copy the model in folder ``model`` to ``out``, with a card and, where it can be, a graph."""
    if out.exists() and any(out.iterdir()):
        raise StorageError(f"{out} is not empty. Choose another folder with --out.")
    try:
        shutil.copytree(model, out, dirs_exist_ok=True)
    except OSError as error:
        raise StorageError(f"The model cannot be written to {out}: {error}.") from error
    saved = load_model(out, plugins, torch.device("cpu"))
    difference, reason = _graph(saved, out / GRAPH)
    write_whole(out / CARD, card(saved, row, difference, reason))
    return Exported(out, difference, reason)


def _graph(saved: SavedModel, path: Path) -> tuple[float | None, str]:
    """Write the graph; the largest difference to the model, or why there is none."""
    if not saved.model.encoders_by_modality:
        return None, "the model reads nothing"
    inputs = one_value_a_row(saved.requests.rows(torch.arange(min(TRIED, len(saved.requests)))))
    if inputs is None:
        return None, "a modality is missing in the requests kept with the model"
    module, batch = Graph(saved.model).eval(), torch.export.Dim("batch")
    try:
        with torch.no_grad():
            dynamic = {"inputs": {m: {0: batch} for m in inputs}}
            program = torch.export.export(module, (inputs,), dynamic_shapes=dynamic)
            difference = float((program.module()(inputs) - module(inputs)).abs().max())
    except Exception as error:  # noqa: BLE001 - a component of any author may not be traceable
        return None, f"{type(error).__name__}: {error}".splitlines()[0]
    if not difference <= TOLERANCE:
        return None, f"it differs from the model by {difference:.2g}"
    torch.export.save(program, path)
    return difference, ""


def one_value_a_row(split: Split) -> dict[str, Tensor] | None:
    """Inputs by modality, one entry per row; None where a row misses a modality."""
    found: dict[str, Tensor] = {}
    for modality, column in split.columns.items():
        values = column.values
        assert isinstance(values, Tensor)
        if column.index is not None:
            if (column.index < 0).any():
                return None
            values = values[column.index]
        found[modality] = values
    return found


def card(saved: SavedModel, row: Row | None, difference: float | None, reason: str) -> str:
    """The model card, in Markdown."""
    spec, task = saved.spec, saved.task
    outputs = ", ".join(task.outputs[:12]) + (" …" if task.n_outputs > 12 else "")
    lines = [
        f"# {spec.task.name}: {spec.encoders_label or 'nothing'} → {spec.fusion_label} → "
        f"{spec.head.name}",
        "",
        f"Predicts {task.target} ({outputs}) from "
        + ", ".join(f"{m} ({kind})" for m, kind in task.modalities.items())
        + ".",
        "",
    ]
    if row is not None:
        quality = row.quality[row.metric]
        interval = ""
        if quality["low"] is not None:
            interval = f" [{quality['low']:.4f}, {quality['high']:.4f}]"
        lines += [
            "| | |",
            "|---|---|",
            f"| test {row.metric}, mean of {len(row.seeds)} seeds | "
            f"{quality['mean']:.4f}{interval} |",
            f"| latency of one request, p50 | {row.latency_ms_p50:.2f} ms |",
            f"| peak memory | {row.peak_memory_mib:.1f} MiB |",
            f"| parameters | {row.parameters:,} |",
            f"| measured on | {row.hardware} |",
            f"| trained on | {row.task} at version {row.task_version} |",
            f"| row | {row.id}, seed {row.seeds[0]} of {row.seeds} |",
            "",
        ]
    graph = (
        f"`{GRAPH}` is the same model for `torch.export.load`, within {difference:.1g}."
        if difference is not None
        else f"There is no `{GRAPH}`: {reason}."
    )
    lines += [
        graph, "", "```python", "from mmbench import load_model", "",
        'model = load_model(".")', "model.inputs", "model.predict({…})", "```", "",
        "What it was trained on, and how, is in `spec.json`.", "",
    ]  # fmt: skip
    return "\n".join(lines)
