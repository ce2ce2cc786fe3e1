"""Which setting of training augments which kind of modality, and where it is in effect."""

from collections.abc import Mapping
from dataclasses import replace

from torch import nn

from mmbench.augmentation.images import Mirror, Shift
from mmbench.augmentation.noise import GaussianNoise
from mmbench.augmentation.sounds import Speed, TimeShift
from mmbench.augmentation.words import WordDropout
from mmbench.contracts import Encoder
from mmbench.encoders._audio import loudness
from mmbench.encoders._training_column import SAMPLE, number_sample, scale
from mmbench.errors import Incompatible
from mmbench.spec import TrainSpec
from mmbench.types import Column, Kind, Split, Task

BY_KIND: Mapping[str, tuple[Kind, ...]] = {
    "crop": ("image", "video", "audio"),
    "flip": ("image", "video"),
    "word_dropout": ("text",),
    "noise": ("tabular", "series", "audio"),
    "speed": ("audio",),
}


def offered(task: Task) -> tuple[str, ...]:
    """The settings that have something to act on in a task."""
    return tuple(
        setting for setting in BY_KIND if any(_suits(setting, m, task) for m in task.modalities)
    )


def _suits(setting: str, modality: str, task: Task) -> bool:
    kept = setting != "flip" or modality in task.mirrored
    return kept and task.modalities[modality] in BY_KIND[setting]


def in_effect(train: TrainSpec, task: Task, trained: Mapping[str, type[Encoder]]) -> TrainSpec:
    """``train`` without what changes nothing: of modalities that no trained encoder reads.

    ``trained``: the encoders that train, by modality. Raises ``Incompatible`` for a setting that
    the whole task has nothing for.
    """
    default, idle = TrainSpec(), {}
    for setting, kinds in BY_KIND.items():
        if not getattr(train, setting):
            continue
        if setting not in offered(task):
            raise Incompatible(f"train.{setting}: {_nothing(setting, kinds)}.")
        if not any(_acts(setting, m, cls, task) for m, cls in trained.items()):
            idle[setting] = getattr(default, setting)
    return replace(train, **idle)


def _nothing(setting: str, kinds: tuple[Kind, ...]) -> str:
    if setting == "flip":
        return "the task does not say of any modality that mirrored images keep their label"
    return f"the task has no modality of kind {' or '.join(kinds)}"


def _acts(setting: str, modality: str, encoder: type[Encoder], task: Task) -> bool:
    reads = setting != "word_dropout" or encoder.unknown_id is not None
    return reads and _suits(setting, modality, task)


def augmentations(
    train: TrainSpec, task: Task, encoders: Mapping[str, Encoder], split: Split
) -> dict[str, nn.Sequential]:
    """What happens to the prepared values of each modality in training, if anything does.

    ``split`` is the training part, as it was loaded.
    """
    made = {
        m: [
            _module(setting, train, encoder, split.columns[m])
            for setting in BY_KIND
            if getattr(train, setting) and _acts(setting, m, type(encoder), task)
        ]
        for m, encoder in encoders.items()
        if not encoder.frozen
    }
    return {m: nn.Sequential(*modules) for m, modules in made.items() if modules}


def _module(setting: str, train: TrainSpec, encoder: Encoder, column: Column) -> nn.Module:
    is_sound = encoder.accepts == "audio"
    if setting == "crop":
        return TimeShift(train.crop) if is_sound else Shift(train.crop)
    if setting == "flip":
        return Mirror(train.flip)
    if setting == "speed":
        return Speed(train.speed)
    if setting == "noise":
        sample = number_sample(column, SAMPLE)
        std = [loudness(sample)] if is_sound else scale(sample, sample.ndim - 1)["std"]
        return GaussianNoise(train.noise, std)
    return WordDropout(train.word_dropout, encoder.unknown_id or 0)
