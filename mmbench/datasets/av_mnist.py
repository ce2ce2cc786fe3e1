"""``av-mnist``: written digits with spectrograms of spoken ones (Vielzeuf et al., ECCV-W 2018).

``root`` holds the arrays as MultiBench (Liang et al., NeurIPS 2021) distributes them; the last
5,000 training rows are the validation part. Rows are read from the files when they are asked for.
"""

from pathlib import Path

import numpy as np
import torch

from mmbench.contracts import Dataset
from mmbench.datasets._published import Expected, Published, digest_of
from mmbench.errors import DataUnavailable
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

    def __init__(self, *, root: str = "", validation: int = VALIDATION) -> None:
        self.root, self.validation = self.checked(root), validation
        labels = [self.root / f"{part}_labels.npy" for part in ("train", "test")]
        self.version = f"{digest_of(labels)[:12]}/validation={validation}"

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
        from dataclasses import replace

        try:
            found = of_npy(path)
        except ValueError as error:
            raise DataUnavailable(f"{path}: {error}") from None
        if len(found) != n:
            raise DataUnavailable(f"{path} has {len(found):,} rows for {n:,} labels.")
        flat = len(found.shape) == 1
        return replace(found, shape=(1, SIDE, SIDE) if flat else (1, *found.shape))


def _labels(path: Path) -> np.ndarray:
    try:
        labels: np.ndarray = np.load(path, allow_pickle=False).astype(np.int64).reshape(-1)
    except ValueError as error:
        raise DataUnavailable(f"{path} holds no labels: {error}") from None
    return labels


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [AVMNIST]
