"""``cmu-mosi`` and ``cmu-mosei``: sentiment of spoken opinions from words, face and voice.

Zadeh et al., IEEE Intelligent Systems 2016; Zadeh et al., ACL 2018. ``root`` holds the aligned
features as they are passed around: a pickle or HDF5 file of train, valid and test, each with
``text``, ``vision``, ``audio`` (segments, time, features) and ``labels`` from −3 to 3. Pickles are
read by a reader that knows arrays and nothing else. Leading steps of zeros are padding.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbench.contracts import Dataset
from mmbench.datasets._arrays_only import read_hdf5, read_pickle
from mmbench.datasets._published import Expected, Published, as_published, digest_of
from mmbench.hookspecs import hookimpl
from mmbench.types import Column, Part, Split, Task

MODALITIES = ("text", "vision", "audio")
NAMES: Mapping[Part, str] = {"train": "train", "val": "valid", "test": "test"}


class MOSI(Published):
    """About 2,200 segments of 93 videos; no video is in two parts."""

    name = "cmu-mosi"
    home = "https://github.com/pliang279/MultiBench"
    expects = (
        Expected(
            ("mosi_data.pkl", "mosi_raw.pkl", "mosi.pkl", "mosi.hdf5", "mosi.h5"),
            "aligned features of train, valid and test",
        ),
    )
    task = Task(
        modalities=dict.fromkeys(MODALITIES, "series"),
        target="regression",
        outputs=("sentiment",),
        metric="mae",
    )
    places = frozenset({"root"})

    def __init__(self, *, root: str = "") -> None:
        self.file = self.path(self.checked(root), 0)
        with as_published(self.name, self.file):
            self.version = digest_of([self.file])[:12]

    def load(self, part: Part) -> Split:
        reader = read_pickle if self.file.suffix == ".pkl" else read_hdf5
        with as_published(self.name, self.file):
            data: Any = reader(self.file)
            found = data[NAMES[part]]
            columns = {m: Column(_series(found[m])) for m in MODALITIES}
            return Split(columns, _labels(found["labels"]), source=_videos(found.get("id")))


class MOSEI(MOSI):
    """About 23,000 segments of 1,000 speakers."""

    name = "cmu-mosei"
    expects = (
        Expected(
            ("mosei_senti_data.pkl", "mosei_raw.pkl", "mosei.pkl", "mosei.hdf5", "mosei.h5"),
            "aligned features of train, valid and test",
        ),
    )


def _labels(values: Any) -> Tensor:
    labels = torch.from_numpy(np.asarray(values, dtype=np.float32)).reshape(-1)
    if not labels.isfinite().all():
        raise ValueError("labels hold what is no number")
    return labels


def _series(values: Any) -> Tensor:
    """(segments, time, features): zeros before the first word go to the end, as NaN."""
    series = torch.from_numpy(np.array(values, dtype=np.float32))
    series[~series.isfinite()] = 0.0
    real = (series != 0).any(-1)  # (segments, time)
    start = torch.where(real.any(1), real.int().argmax(1), 0)
    time = torch.arange(series.shape[1])
    shifted = (time + start.unsqueeze(1)).clamp(max=series.shape[1] - 1)
    moved = series.gather(1, shifted.unsqueeze(-1).expand_as(series))
    beyond = time + start.unsqueeze(1) >= series.shape[1]
    return moved.masked_fill(beyond.unsqueeze(-1), torch.nan)


def _videos(ids: Any) -> Tensor | None:
    """(segments,) a number for each video, the same in every part; None without names."""
    if ids is None:
        return None
    names = [_video(np.asarray(entry).reshape(-1)[0]) for entry in ids]
    return torch.tensor([_number(name) for name in names])


def _video(name: Any) -> str:
    """``03bSnISJMiM`` of ``03bSnISJMiM$_$11``, ``03bSnISJMiM[11]`` or ``03bSnISJMiM_11``."""
    text = name.decode() if isinstance(name, bytes) else str(name)
    return re.sub(r"(\$_\$\d+|\[\d+\]|_\d+)$", "", text)


def _number(name: str) -> int:
    import hashlib

    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [MOSI, MOSEI]
