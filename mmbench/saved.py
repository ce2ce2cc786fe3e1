"""A trained model as a folder: JSON and safetensors only, so that loading it runs no code from it.

spec.json            the resolved spec
fitted.json          what each encoder learnt of the training data
task.json            modalities, outputs, metric
plugins.json         distribution, version and hash of each plugin that it needs
preprocessing.json   how raw values become inputs, where the data set says so
compression.json     how an exported model was made smaller than it was trained, if it was
model.safetensors    weights
requests.safetensors prepared inputs of some validation rows, to time the model with
answers.safetensors  scores of the first of them, to see that the timed model is this one
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmbench.compression import AS_TRAINED, Compression, restructure
from mmbench.compression.sparse import packed, unpacked
from mmbench.contracts import Dataset, Encoder, Fitted
from mmbench.errors import DataUnavailable, MMBenchError, StorageError, brief
from mmbench.model import FusionModel, build_encoders, build_model
from mmbench.plugins import Plugins
from mmbench.provenance import Used, require
from mmbench.resolve import Resolved, resolve
from mmbench.saved_json import (
    COMPRESSION,
    FITTED,
    PLUGINS,
    PREPROCESSING,
    SPEC,
    TASK,
    read_compression,
    read_fitted,
    read_plugins,
    read_preprocessing,
    read_spec,
    read_task,
)
from mmbench.spec import TrialSpec
from mmbench.types import Column, Part, Split, Task

log = logging.getLogger(__name__)
WEIGHTS = "model.safetensors"
REQUESTS, ANSWERS = "requests.safetensors", "answers.safetensors"
FILES = (
    SPEC, FITTED, TASK, PLUGINS, PREPROCESSING, COMPRESSION, WEIGHTS, REQUESTS, ANSWERS
)  # fmt: skip
"""All that a folder may hold of a model."""
ANEW = "Export it again, or train it anew."
ANSWERED = 32
"""Requests whose scores are kept."""


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A model as it was trained, in evaluation mode, with requests to ask of it."""

    spec: TrialSpec
    model: FusionModel
    requests: Split
    task: Task
    preprocessing: Mapping[str, Any] | None = None
    """How raw values become inputs; None where they are inputs as they are."""
    compression: Compression = AS_TRAINED


class Elsewhere(Dataset):
    """The data set of a saved model: what is asked is known, the rows may be on another machine."""

    name = "elsewhere"
    version = ""

    def __init__(self, task: Task) -> None:
        self.task = task

    def load(self, part: Part) -> Split:
        raise DataUnavailable(f"A saved model does not hold the {part} part of its task.")


def save_model(
    folder: Path,
    resolved: Resolved,
    model: FusionModel,
    requests: Split,
    used: Sequence[Used] = (),
) -> None:
    """Write ``model`` and prepared (not encoded) ``requests`` into ``folder``.

    ``used``: the plugins that the model is made of.
    """
    fitted = {m: encoder.fitted for m, encoder in model.encoders_by_modality.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SPEC).write_text(json.dumps(resolved.spec.to_dict(), indent=2))
        (folder / FITTED).write_text(json.dumps(fitted))
        (folder / TASK).write_text(json.dumps(asdict(resolved.task), indent=2))
        (folder / PLUGINS).write_text(json.dumps(list(used), indent=2))
        if (preprocessing := resolved.dataset.preprocessing()) is not None:
            text = json.dumps(preprocessing, ensure_ascii=False)
            (folder / PREPROCESSING).write_text(text, encoding="utf-8")
        save_file(_contiguous(model.state_dict()), folder / WEIGHTS)
        save_file(_contiguous(_flatten(requests)), folder / REQUESTS)
        save_file({"scores": answers(model, requests)}, folder / ANSWERS)
    except OSError as error:
        raise StorageError(f"The model cannot be written to {folder}: {error}.") from error


def save_compressed(folder: Path, saved: SavedModel, how: Compression) -> None:
    """Put the weights of ``saved.model``, changed as ``how`` says, in place of those in folder."""
    try:
        (folder / COMPRESSION).write_text(json.dumps(how.to_dict()))
        save_file(packed(_contiguous(saved.model.state_dict())), folder / WEIGHTS)
        said = {"scores": answers(saved.model, saved.requests)}
        save_file(said, folder / ANSWERS)
    except OSError as error:
        raise StorageError(f"The model cannot be written to {folder}: {error}.") from error


def load_model(folder: Path, plugins: Plugins, device: torch.device) -> SavedModel:
    """Rebuild a model from its folder alone; nothing in the folder is executed.

    Raises ``PluginDiffers`` if a plugin that it needs is not installed.
    """
    requests = load_requests(folder)
    with _readable(folder):
        spec, task, used = read_spec(folder), read_task(folder), read_plugins(folder)
        fitted, how = read_fitted(folder, spec.encoders), read_compression(folder)
        preprocessing = read_preprocessing(folder)
        weights = unpacked(load_file(folder / WEIGHTS))
    for difference in require(used, plugins, f"the model in {folder}", anyway=True):
        log.warning("the model in %s: %s", folder, difference)
    resolved = resolve(spec, plugins, Elsewhere(task))
    model = build_model(resolved, _encoders(resolved, fitted, folder))
    restructure(model, how)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise DataUnavailable(
            f"The weights in {folder} do not fit the components installed here, which have changed "
            f"since: {' '.join(str(error).split())}. Train the model again, or install the version "
            "that saved it."
        ) from None
    return SavedModel(resolved.spec, model.to(device).eval(), requests, task, preprocessing, how)


def _encoders(resolved: Resolved, fitted: Mapping[str, Fitted], folder: Path) -> dict[str, Encoder]:
    try:
        return build_encoders(resolved, fitted)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise DataUnavailable(
            f"What {folder / FITTED} holds does not fit the encoders installed here: "
            f"{brief(error)}. It is damaged, or they have changed since. {ANEW}"
        ) from error


def load_requests(folder: Path) -> Split:
    """Only the requests of a saved model, without building it."""
    with _readable(folder):
        return _unflatten(load_file(folder / REQUESTS))


def load_answers(folder: Path) -> Tensor | None:
    """(first requests, n_outputs) as the model scored them when saved; None in older folders."""
    if not (folder / ANSWERS).exists():
        return None
    with _readable(folder):
        return load_file(folder / ANSWERS)["scores"]


def answers(model: FusionModel, requests: Split) -> Tensor:
    """Scores of the first requests (requests, n_outputs), asked in evaluation mode.

    On the model's device; its mode is left as it was.
    """
    device = next(model.parameters(), torch.empty(0)).device
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        asked = requests.rows(torch.arange(min(ANSWERED, len(requests))))
        scores: Tensor = model(asked.to(device)).scores
    model.train(was_training)
    return scores.float().cpu().contiguous()


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    if not folder.is_dir():
        raise DataUnavailable(
            f"There is no folder {folder}: `mmbench export ROW --out {folder}` writes one."
        )
    try:
        yield
    except FileNotFoundError as error:
        missing = error.filename or error  # safetensors gives a message alone
        raise DataUnavailable(f"{folder} is no saved model: {missing} is missing.") from None
    except (SafetensorError, KeyError) as error:
        raise DataUnavailable(f"The saved model in {folder} is damaged: {error}. {ANEW}") from None
    except MMBenchError as error:
        raise DataUnavailable(f"The saved model in {folder} is damaged: {error} {ANEW}") from None


def _contiguous(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies of their own: safetensors refuses tensors that share memory."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}


def _flatten(split: Split) -> dict[str, Tensor]:
    flat = {"target": split.target.cpu()}
    for modality, column in split.columns.items():
        if not isinstance(column.values, Tensor):
            raise TypeError(f"Requests hold prepared tensors; {modality} is {type(column.values)}.")
        flat[f"values/{modality}"] = column.values.cpu().contiguous()
        if column.index is not None:
            flat[f"index/{modality}"] = column.index
    return flat


def _unflatten(flat: dict[str, Tensor]) -> Split:
    columns = {
        key.removeprefix("values/"): Column(
            values, flat.get(f"index/{key.removeprefix('values/')}")
        )
        for key, values in flat.items()
        if key.startswith("values/")
    }
    return Split(columns, flat["target"])
