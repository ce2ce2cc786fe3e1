"""``cmu-mosi`` and ``cmu-mosei``: sentiment of spoken opinions from words, face and voice.

Zadeh et al., IEEE Intelligent Systems 2016; Zadeh et al., ACL 2018. ``root`` holds the features as
they are passed around: a pickle or HDF5 file of train, valid and test as of MultiBench (Liang et
al., NeurIPS 2021) and MulT (Tsai et al., ACL 2019), or a pickle of MMSA (Mao et al., ACL 2022).
Each part has ``text``, ``vision``, ``audio`` (segments, time, features) and sentiment from −3 to 3
in ``labels`` or ``regression_labels``. Pickles are read by a reader that knows arrays, no code.

Steps of zeros before the first word and after the last are padding. Where all three modalities have
as many steps, they are aligned word by word, and stay so: they are cut at the same steps.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbench.contracts import Dataset
from mmbench.datasets._arrays_only import read_hdf5, read_pickle
from mmbench.datasets._published import Published, as_published, digest_of
from mmbench.datasets._whereabouts import Expected
from mmbench.hookspecs import hookimpl
from mmbench.types import MISSING, Column, Part, Split, Task

MODALITIES = ("text", "vision", "audio")
NAMES: Mapping[Part, str] = {"train": "train", "val": "valid", "test": "test"}
MMSA = ("aligned_50.pkl", "unaligned_50.pkl")
FEATURES = (
    "features of train, valid and test, as of MultiBench, MulT or MMSA; no .csd of the CMU SDK"
)
EMOTIONS = 6
"""Labels of MOSEI that may follow the sentiment of each segment."""


class MOSI(Published):
    """About 2,200 segments of 93 videos; no video is in two parts."""

    name = "cmu-mosi"
    home = "https://github.com/pliang279/MultiBench"
    expects = (
        Expected(
            (
                "mosi_data.pkl",
                "mosi_raw.pkl",
                "mosi.pkl",
                "mosi.hdf5",
                "mosi.h5",
                "mosi_data_noalign.pkl",
                *MMSA,
            ),
            FEATURES,
        ),
    )
    task = Task(
        modalities=dict.fromkeys(MODALITIES, "series"),
        target="regression",
        outputs=("sentiment",),
        metric="mae",
        figures=("acc-2-has0", "acc-2-non0", "acc-5", "acc-7", "f1-has0", "f1-non0"),
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
            values = found["regression_labels" if "regression_labels" in found else "labels"]
            labels = _labels(values, len(found["text"]))
            columns = _columns({m: _numbers(found[m]) for m in MODALITIES})
            return Split(columns, labels, source=_videos(found.get("id")))


class MOSEI(MOSI):
    """About 23,000 segments of 1,000 speakers."""

    name = "cmu-mosei"
    expects = (
        Expected(
            (
                "mosei_senti_data.pkl",
                "mosei_raw.pkl",
                "mosei.pkl",
                "mosei.hdf5",
                "mosei.h5",
                "mosei_senti_data_noalign.pkl",
                *MMSA,
            ),
            FEATURES,
        ),
    )


def _labels(values: Any, segments: int) -> Tensor:
    """(segments,) the sentiment, which comes first."""
    labels = torch.from_numpy(np.asarray(values, dtype=np.float32)).unsqueeze(-1).flatten(1)
    if len(labels) != segments or labels.shape[1] not in (1, 1 + EMOTIONS):
        raise ValueError(f"labels have the shape {np.shape(values)} for {segments:,} segments")
    if not labels.isfinite().all():
        raise ValueError("labels hold what is no number")
    return labels[:, 0].contiguous()


def _numbers(values: Any) -> Tensor:
    """(segments, time, features); what is no number counts as nothing."""
    return torch.from_numpy(np.array(values, dtype=np.float32)).nan_to_num(0.0, 0.0, 0.0)


def _columns(series: Mapping[str, Tensor]) -> dict[str, Column]:
    """Each modality without its padding; a segment without a real step misses it."""
    if len({len(values) for values in series.values()}) > 1:
        found = ", ".join(f"{m} has {len(values):,}" for m, values in series.items())
        raise ValueError(f"modalities have other numbers of segments: {found}")
    real = {m: (values != 0).any(-1) for m, values in series.items()}  # (segments, time)
    used = dict(real)
    if len({steps.shape for steps in real.values()}) == 1:
        used = dict.fromkeys(real, torch.stack(list(real.values())).any(0))
    return {m: _column(_fitted(series[m], used[m]), real[m].any(1)) for m in series}


def _fitted(series: Tensor, used: Tensor) -> Tensor:
    """(segments, time, features): from the first step used to the last, then NaN."""
    start = used.int().argmax(1, keepdim=True)
    end = used.shape[1] - used.flip(1).int().argmax(1, keepdim=True)
    time = torch.arange(used.shape[1]) + start  # (segments, time)
    there = time.clamp(max=used.shape[1] - 1)
    moved = series.gather(1, there.unsqueeze(-1).expand_as(series))
    return moved.masked_fill((time >= end).unsqueeze(-1), torch.nan)


def _column(series: Tensor, there: Tensor) -> Column:
    if there.all():
        return Column(series)
    return Column(series[there], torch.where(there, there.cumsum(0) - 1, MISSING))


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
