"""A model made smaller, and what that costs: quality, latency, size, each beside the original."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from mmbench.compression import AS_TRAINED, Compression, compress
from mmbench.errors import DataUnavailable, UnusableData
from mmbench.evaluation.latency import OutputsDiffer
from mmbench.evaluation.measure import measure_in_fresh_process
from mmbench.features import BATCH, prepare
from mmbench.plugins import Plugins
from mmbench.resolve import Resolved, resolve
from mmbench.saved import WEIGHTS, SavedModel, answers, load_answers, load_model, save_compressed
from mmbench.training import predict
from mmbench.trial import main_metric
from mmbench.types import Part

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Figures:
    """One variant of a model: quality on both parts, and what it costs on one CPU thread."""

    variant: str
    validation: float | None
    test: float | None
    """None where the task's data is not at hand."""
    latency_ms_p50: float
    """Of one request, encoders live, in a process of its own."""
    weights_bytes: int
    """On disk."""


def compressed_copy(folder: Path, how: Compression, plugins: Plugins) -> None:
    """Make the model in ``folder`` smaller; read back, it must answer as it did before."""
    saved = load_model(folder, plugins, CPU)
    compress(saved.model, how)
    save_compressed(folder, saved, how)
    again = load_model(folder, plugins, CPU)
    expected, found = load_answers(folder), answers(again.model, again.requests)
    assert expected is not None  # just written
    if not torch.equal(expected.nan_to_num(), found.nan_to_num()):
        gap = float((expected - found).abs().max())
        raise OutputsDiffer(
            f"The compressed model in {folder} answers differently once it is loaded (by "
            f"{gap:.3g}): a component has state that is not saved with its weights. Export it "
            "without --int8 and --prune."
        )


def cost(
    original: Path, made: Path, how: Compression, plugins: Plugins
) -> tuple[tuple[Figures, ...], str]:
    """The figures of the original and of every step; and why there are none of quality, if so.

    With pruning and int8 both, the model that is pruned alone is measured between the two.
    """
    data, reason = _data(original, plugins)
    with tempfile.TemporaryDirectory(prefix="mmbench-") as place:
        folders = {AS_TRAINED: original}
        if how.prune and how.int8:
            between = Compression(prune=how.prune)
            folders[between] = Path(shutil.copytree(original, Path(place) / "pruned"))
            compressed_copy(folders[between], between, plugins)
        folders[how] = made
        return tuple(_figures(str(h), f, data, plugins) for h, f in folders.items()), reason


def _data(folder: Path, plugins: Plugins) -> tuple[Resolved | None, str]:
    """The task's data, or why it is not at hand."""
    try:
        resolved = resolve(load_model(folder, plugins, CPU).spec, plugins)
        resolved.dataset.load("val")
    except (DataUnavailable, UnusableData) as error:
        return None, str(error)
    return resolved, ""


def _figures(name: str, folder: Path, data: Resolved | None, plugins: Plugins) -> Figures:
    saved = load_model(folder, plugins, CPU)
    measured = measure_in_fresh_process(folder, "cpu", threads=1)
    return Figures(
        name,
        None if data is None else _score(saved, data, "val", plugins),
        None if data is None else _score(saved, data, "test", plugins),
        measured["latency"]["batch_1"]["whole"]["ms_p50"],
        (folder / WEIGHTS).stat().st_size,
    )


def _score(saved: SavedModel, data: Resolved, part: Part, plugins: Plugins) -> float:
    """The task's main metric, with every encoder live."""
    split = data.dataset.load(part)
    saved.model.micro_batch = BATCH["cpu"]  # a frozen encoder may be large
    scores = predict(saved.model, prepare(split, saved.model.encoders_by_modality), CPU)
    return float(main_metric(data, plugins)(scores, split.target))
