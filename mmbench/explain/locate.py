"""From a row, or a folder, to a trained model: one that lies here, or else trained again."""

from collections.abc import Callable
from pathlib import Path

from mmbench.errors import DataUnavailable, MMBenchError
from mmbench.final import MODEL, evaluate_seed
from mmbench.leaderboard.row import Row
from mmbench.plugins import Plugins
from mmbench.saved import WEIGHTS
from mmbench.saved_json import COMPRESSION
from mmbench.spec import spec_from_dict, spec_from_json
from mmbench.training import OnEpoch
from mmbench.trial import Workbench, ignore

EXPLAINED = "explained"
"""Where models are kept that were trained to be explained."""


def folder_model(folder: Path) -> Path:
    """The model in ``folder``: itself, or that of a seed."""
    for candidate in (folder, folder / MODEL):
        if (candidate / WEIGHTS).is_file():
            return candidate
    raise DataUnavailable(
        f"{folder} holds no model: there is no {WEIGHTS} in it or in its folder {MODEL}. "
        "Name a model's folder, or a row: its JSON file, or its id on a board."
    )


def row_model(
    row: Row,
    runs: Path,
    plugins: Plugins,
    bench: Workbench,
    *,
    training: Callable[[], None] = ignore,
    on_epoch: OnEpoch = ignore,
) -> Path:
    """The model of a row's first seed that a search or run left under ``runs``.

    If there is none, it is trained again, as the row says, and kept there; ``training`` is told.
    """
    spec = spec_from_dict(row.spec).with_seed(row.seeds[0])
    for path in sorted(runs.glob(f"**/{MODEL}/spec.json")):
        if _is(path, spec.id) and _is_whole(path.parent):
            return path.parent
    training()
    folder = runs / EXPLAINED / spec.id
    folder.mkdir(parents=True, exist_ok=True)
    return evaluate_seed(spec, plugins, bench, folder, on_epoch, diagnose=False).model_folder


def _is_whole(model: Path) -> bool:
    """Whether weights are there, as they were trained."""
    return (model / WEIGHTS).is_file() and not (model / COMPRESSION).exists()


def _is(path: Path, spec_id: str) -> bool:
    """A spec that cannot be read is that of another version, not of this row."""
    try:
        return spec_from_json(path.read_text(encoding="utf-8")).id == spec_id
    except (OSError, UnicodeDecodeError, MMBenchError):
        return False
