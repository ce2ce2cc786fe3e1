"""The winner as a folder of its own: weights, spec, preprocessing, a card, and compiled graphs.

A graph (``torch.export``, ONNX) runs without mmbench; it is kept only if it says what the model
says. A model made smaller is measured beside the one that it was made from.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from mmbench.compression import AS_TRAINED, Compression
from mmbench.errors import Incompatible, StorageError
from mmbench.exporting.card import card
from mmbench.exporting.graph import Parity, write_graph
from mmbench.exporting.onnx_graph import write_onnx
from mmbench.exporting.smaller import Figures, compressed_copy, cost
from mmbench.files import write_whole
from mmbench.leaderboard.row import Row
from mmbench.plugins import Plugins
from mmbench.saved import load_model

CARD, COSTS = "README.md", "costs.json"


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
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StorageError(f"{out} is not an empty folder. Choose another one with --out.")
    original = load_model(model, plugins, torch.device("cpu"))
    if how and original.compression:
        raise Incompatible(
            f"{model} is {original.compression} already. Export the row, or the model it is of."
        )
    _copy(model, out)
    figures: tuple[Figures, ...] = ()
    reason = ""
    if how:
        try:
            compressed_copy(out, how, plugins)
        except Exception:
            shutil.rmtree(out)  # a model that was refused is not to be taken for a good one
            raise
        figures, reason = cost(model, out, how, plugins)
        variants = [asdict(one) for one in figures]
        document = {"metric": original.task.metric, "variants": variants, "reason": reason}
        write_whole(out / COSTS, json.dumps(document, indent=2))
    saved = load_model(out, plugins, torch.device("cpu"))
    graph, in_onnx = write_graph(saved, out), write_onnx(saved, out) if onnx else None
    write_whole(out / CARD, card(saved, row, graph, in_onnx, figures, reason))
    return Exported(out, saved.task.metric, graph, in_onnx, figures, reason)


def _copy(model: Path, out: Path) -> None:
    try:
        shutil.copytree(model, out, dirs_exist_ok=True)
    except OSError as error:
        raise StorageError(f"The model cannot be written to {out}: {error}.") from error
