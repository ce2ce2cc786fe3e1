"""Handwritten digits in two halves, as a classic of two-view learning has them.

Andrew, Arora, Bilmes & Livescu, "Deep Canonical Correlation Analysis", ICML 2013, took the left and
the right half of each MNIST image as two views of one digit.
Differs from the paper: the 1,797 images of 8×8 that scikit-learn carries (Alpaydin & Kaynak, UCI
"Optical Recognition of Handwritten Digits", 1998, CC BY 4.0), so that nothing is downloaded.

The images come without their writers: the parts are drawn at random, once and for all, and a writer
may be in two of them.
"""

import torch
from torch import Tensor

from mmbench.api import Column, Dataset, Part, Split, Task, hookimpl

mmbench_api = ">=1"

PARTS: dict[Part, slice] = {
    "train": slice(0, 1000),
    "val": slice(1000, 1297),
    "test": slice(1297, None),
}
GREY_PER_LEVEL = 15
"""Ink has 17 levels; 16 · 15 = 240 is almost white."""


class DigitHalves(Dataset):
    """Which digit is it, from its left and its right half? Either alone is often ambiguous."""

    name = "digit-halves"
    version = "1"
    task = Task(
        {"left": "image", "right": "image"},
        "classification",
        tuple(str(digit) for digit in range(10)),
        "accuracy",
    )

    def load(self, part: Part) -> Split:
        """Images (rows, 1, 8, 4), bytes; ``source`` is the row's place in scikit-learn's file."""
        images, digits = _digits()
        order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
        rows = order[PARTS[part]]
        columns = {
            "left": Column(images[rows, :, :, :4].clone()),
            "right": Column(images[rows, :, :, 4:].clone()),
        }
        return Split(columns, digits[rows], source=rows)


def _digits() -> tuple[Tensor, Tensor]:
    """All images (1797, 1, 8, 8) and which digit each is (1797,)."""
    from sklearn.datasets import load_digits

    found = load_digits()
    ink = torch.from_numpy(found.images).to(torch.uint8)
    return GREY_PER_LEVEL * ink.unsqueeze(1), torch.from_numpy(found.target).long()


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [DigitHalves]
