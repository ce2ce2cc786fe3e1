"""The winner as a folder of its own: weights, spec, preprocessing, a card, and compiled graphs.

A graph (``torch.export``, ONNX) runs without mmbench; it is kept only if it says what the model
says. A model made smaller is measured beside the one that it was made from.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from mmbench.compression import AS_TRAINED, Compression
from mmbench.errors import Incompatible
from mmbench.exporting.card import card
from mmbench.exporting.folder import COSTS, check_free, copy_model, whole
from mmbench.exporting.graph import Parity, write_graph
from mmbench.exporting.onnx_graph import write_onnx
from mmbench.exporting.smaller import Figures, compressed_copy, cost
from mmbench.files import write_whole
from mmbench.leaderboard.row import Row
from mmbench.plugins import Plugins
from mmbench.saved import load_model

CARD = "README.md"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and how near the graphs are to the model."""

    folder: Path
    metric: str
    graph: Parity
    onnx: Parity | None
    """None: not asked for."""
    figures: tuple[Figures, ...]
    """The original first, then each step that made it smaller; empty if there was none."""
    figures_reason: str = ""
    """Why there are figures, but none of quality."""

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder)}


def export_model(
    model: Path,
    out: Path,
    plugins: Plugins,
    row: Row | None,
    how: Compression = AS_TRAINED,
    *,
    onnx: bool = False,
) -> Exported:
    """The model in folder ``model`` at ``out``, with a card, and graphs where there can be any.

    ``how`` makes it smaller; what that costs is measured (quality where the task's data is there).
    """
    check_free(out)
    original = load_model(model, plugins, torch.device("cpu"))
    if how and original.compression:
        raise Incompatible(
            f"{model} is {original.compression} already. Export the row, or the model it is of."
        )
    with whole(out) as made:
        copy_model(model, made)
        figures: tuple[Figures, ...] = ()
        reason = ""
        if how:
            compressed_copy(made, how, plugins)
            figures, reason = cost(model, made, how, plugins)
            _write_costs(made, original.task.metric, figures, reason)
        saved = load_model(made, plugins, torch.device("cpu"))
        graph, in_onnx = write_graph(saved, made), write_onnx(saved, made) if onnx else None
        write_whole(made / CARD, card(saved, row, graph, in_onnx, figures, reason))
    return Exported(out, saved.task.metric, graph, in_onnx, figures, reason)


def _write_costs(folder: Path, metric: str, figures: Sequence[Figures], reason: str) -> None:
    variants = [asdict(one) for one in figures]
    document = {"metric": metric, "variants": variants, "reason": reason}
    write_whole(folder / COSTS, json.dumps(document, indent=2))
