"""``watch``: which exercise a wrist does, from a smartwatch's accelerometer and gyroscope.

Burns et al., "Shoulder physiotherapy exercise recognition: machine learning the inertial signals
from a smartwatch", Physiological Measurement 2018 (arXiv 1802.01489); the data are those of the
PyPI package ``seglearn`` (BSD). Seven exercises of ten subjects, both arms, at 50 Hz, in windows of
four seconds that overlap by half. The test subjects do not occur in training.
"""

import hashlib
import io
from functools import cache
from typing import Any

import numpy as np
import torch

from mmbench.contracts import Card, Dataset, Known
from mmbench.datasets._arrays_only import read_objects
from mmbench.datasets._package import Package
from mmbench.hookspecs import hookimpl
from mmbench.types import Column, Part, Split, Task

PACKAGE = Package(
    task="watch",
    distribution="seglearn",
    version="1.2.5",
    module="seglearn",
    sha256={
        "data/watch_dataset.npy": "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"
    },
)
WINDOW, STEP = 200, 100  # samples, at 50 Hz
EXERCISES = {
    "PEN": "pendulum",
    "ABD": "abduction",
    "FEL": "forward elevation",
    "IR": "internal rotation",
    "ER": "external rotation",
    "TRAP": "trapezius extension",
    "ROW": "upright row",
}
SUBJECTS = range(1, 11)
PARTS_OF_SUBJECTS = {"train": 5, "val": 2, "test": 3}


class Watch(Dataset):
    """Two series of three axes; a window is a row, a subject a source."""

    name = "watch"
    version = f"{PACKAGE.distribution}-{PACKAGE.version}/1"
    task = Task(
        modalities={"acceleration": "series", "rotation": "series"},
        target="classification",
        outputs=tuple(EXERCISES.values()),
        metric="accuracy",
    )
    card = Card(
        source="Burns et al., 2018 (arXiv 1802.01489): the PyPI package seglearn 1.2.5",
        licence="BSD-3-Clause",
        split="by subject, in the order of a hash: 5 training, 2 validation, 3 test",
        rows={"train": 1_122, "val": 465, "test": 642},
        content={
            "train": "3fb0e5978bbf80e61005a0f1bad4ea532ff89a96caaa52d8dd1b6a71cc942b88",
            "val": "2a023aabaa91f2c0ee80b80cd21f7599720e6c94a794ad63e23f321a8068741e",
            "test": "31b551c3881f54777a2e5d4cc6bdce6c74c6cb1e5dab090386e2859878d2211d",
        },
        known=(
            Known("majority", 0.168),
            Known("acceleration: moments and spectrum, logistic regression", 0.874),
            Known("rotation: the same", 0.715),
            Known("early: the same", 0.869),
            Known("late: the same", 0.869),
        ),
    )

    def load(self, part: Part) -> Split:
        recorded = recordings()
        series, target, source, side = [], [], [], []
        for row, values in enumerate(recorded["X"]):
            if recorded["subject"][row] not in subjects(part):
                continue
            windows = np.lib.stride_tricks.sliding_window_view(values, WINDOW, axis=0)[::STEP]
            series.append(windows.transpose(0, 2, 1))  # (windows, time, 6 channels)
            target += [int(recorded["y"][row])] * len(windows)
            source += [int(recorded["subject"][row])] * len(windows)
            side += ["right" if recorded["side"][row] else "left"] * len(windows)
        channels = torch.from_numpy(np.concatenate(series).astype(np.float32))
        return Split(
            columns={
                "acceleration": Column(channels[..., :3].contiguous()),
                "rotation": Column(channels[..., 3:].contiguous()),
            },
            target=torch.tensor(target),
            slices={"side": tuple(side), "subject": tuple(map(str, source))},
            source=torch.tensor(source),
        )


def subjects(part: Part) -> set[int]:
    """The numbers of a part's subjects."""
    ordered = sorted(SUBJECTS, key=lambda n: hashlib.sha256(f"watch/{n}".encode()).hexdigest())
    first = 0
    for name, count in PARTS_OF_SUBJECTS.items():
        if name == part:
            break
        first += count
    return set(ordered[first : first + PARTS_OF_SUBJECTS[part]])


@cache
def recordings() -> dict[str, Any]:
    """The package's recordings, which are pickled arrays."""
    file = "data/watch_dataset.npy"
    recorded: dict[str, Any] = read_objects(io.BytesIO(PACKAGE.read(file)), file).item()
    return recorded


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [Watch]
