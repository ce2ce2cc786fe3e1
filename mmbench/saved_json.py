"""What a saved model says of itself in JSON, read from its folder.

What is not as it was written raises ``InvalidSpec``, which names the file and the fault.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from mmbench.compression import AS_TRAINED, Compression
from mmbench.contracts import Fitted
from mmbench.errors import InvalidSpec, MMBenchError, brief
from mmbench.provenance import Used, read_used
from mmbench.shape import read_as
from mmbench.spec import TrialSpec, spec_from_json
from mmbench.tables.recipe import Recipe
from mmbench.types import Task

SPEC, FITTED, TASK = "spec.json", "fitted.json", "task.json"
PLUGINS, PREPROCESSING, COMPRESSION = "plugins.json", "preprocessing.json", "compression.json"


class Preprocessing(TypedDict):
    """How raw values become inputs."""

    recipe: dict[str, Any]
    scale: tuple[float, float]
    """Mean and standard deviation of a regression target."""


def read_spec(folder: Path) -> TrialSpec:
    text = _text(folder / SPEC)
    try:
        return spec_from_json(text)
    except MMBenchError as error:
        raise InvalidSpec(f"{SPEC}: {error}") from None


def read_task(folder: Path) -> Task:
    return read_as(Task, _text(folder / TASK), TASK)


def read_fitted(folder: Path, modalities: Collection[str]) -> Mapping[str, Fitted]:
    """What the encoder of each modality learnt."""
    found = _json(folder / FITTED)
    fitted: dict[str, Any] = found if isinstance(found, dict) else {}
    if not all(isinstance(fitted.get(modality), dict) for modality in modalities):
        raise InvalidSpec(
            f"{FITTED} is an object with an object for each of {', '.join(modalities)}; "
            f"got {str(found)[:60]}."
        )
    return {modality: fitted[modality] for modality in modalities}


def read_plugins(folder: Path) -> list[Used]:
    """Those that the model is made of; older folders do not say it."""
    return read_used(_json(folder / PLUGINS), PLUGINS) if (folder / PLUGINS).exists() else []


def read_preprocessing(folder: Path) -> Preprocessing | None:
    if not (folder / PREPROCESSING).exists():
        return None
    made = read_as(Preprocessing, _text(folder / PREPROCESSING), PREPROCESSING)
    try:
        recipe = Recipe.from_dict(made["recipe"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InvalidSpec(f"{PREPROCESSING}: recipe is none of a table: {brief(error)}.") from None
    read_as(Recipe, json.dumps(recipe.to_dict()), f"{PREPROCESSING}: recipe")
    return made


def read_compression(folder: Path) -> Compression:
    path = folder / COMPRESSION
    return read_as(Compression, _text(path), COMPRESSION) if path.exists() else AS_TRAINED


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidSpec(f"{path.name} is no text: {error}.") from None


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise InvalidSpec(f"{path.name} is not JSON: {error}.") from None
