"""``av-mnist``: written digits with spectrograms of spoken ones (Vielzeuf et al., ECCV-W 2018).

``root`` holds the arrays as MultiBench (Liang et al., NeurIPS 2021) distributes them; the last
5,000 training rows are the validation part. Rows are read from the files when they are asked for.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mmbench.contracts import Dataset
from mmbench.datasets._published import Published, as_published, digest_of
from mmbench.datasets._whereabouts import Expected
from mmbench.errors import InvalidParameter
from mmbench.hookspecs import hookimpl
from mmbench.tables.store import Stored, of_npy
from mmbench.types import Column, Part, Split, Task

VALIDATION = 5_000
SIDE = 28


class AVMNIST(Published):
    """Images (1, 28, 28) and spectrograms (1, 112, 112)."""

    name = "av-mnist"
    home = "https://github.com/pliang279/MultiBench"
    expects = tuple(
        Expected((f"{folder}{part}_{what}.npy",), f"{what} of the {part}ing digits")
        for part in ("train", "test")
        for folder, what in (("image/", "data"), ("audio/", "data"), ("", "labels"))
    )
    task = Task(
        modalities={"image": "image", "audio": "image"},
        target="classification",
        outputs=tuple(map(str, range(10))),
        metric="accuracy",
    )
    places = frozenset({"root"})

    def __init__(self, *, root: str = "", validation: int = VALIDATION) -> None:
        self.root, self.validation = self.checked(root), validation
        n = len(_labels(self.root / "train_labels.npy"))
        if not 0 < validation < n:
            raise InvalidParameter(
                f"task.validation={validation} leaves nothing to learn from, or to choose by: "
                f"{root} has {n:,} training digits. Allowed: 1 to {n - 1}."
            )
        with as_published(self.name, self.root):
            files = [self.path(self.root, number) for number in range(len(self.expects))]
            self.version = f"{digest_of(files)[:12]}/validation={validation}"

    def load(self, part: Part) -> Split:
        official = "test" if part == "test" else "train"
        target = torch.from_numpy(_labels(self.root / f"{official}_labels.npy"))
        image, audio = (
            self._values(self.root / m / f"{official}_data.npy", len(target))
            for m in ("image", "audio")
        )
        rows = torch.arange(len(target))
        if part != "test":
            first = len(target) - self.validation
            rows = rows[first:] if part == "val" else rows[:first]
        columns = {"image": Column(image.subset(rows)), "audio": Column(audio.subset(rows))}
        offset = 0 if official == "train" else 10**6
        return Split(columns, target[rows], source=rows + offset)

    def _values(self, path: Path, n: int) -> Stored:
        with as_published(self.name, path):
            found = of_npy(path)
            if len(found) != n:
                raise ValueError(f"it has {len(found):,} rows for {n:,} labels")
            shape = (SIDE, SIDE) if found.shape == (SIDE * SIDE,) else found.shape
            if len(shape) != 2:
                raise ValueError(f"its rows have the shape {shape}, which is no picture")
        return replace(found, shape=(1, *shape))


def _labels(path: Path) -> np.ndarray:
    with as_published(AVMNIST.name, path):
        labels: np.ndarray = np.load(path, allow_pickle=False).reshape(-1)
        if strange := set(labels.tolist()) - set(range(10)):
            raise ValueError(f"a label is {strange.pop()}, which is no digit")
    return labels.astype(np.int64)


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [AVMNIST]
