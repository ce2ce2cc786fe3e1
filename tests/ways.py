"""A tiny task of sequences: which way a point lies from the middle, in one word or two."""

import torch

from mmbench.contracts import Dataset
from mmbench.types import Column, Part, Split, Task

WORDS = ("", "up", "down", "left", "right")


class Ways(Dataset):
    """Which way a point lies from the middle, in the one or two words that it is asked in."""

    name = "ways"
    version = "1"
    task = Task(
        {"point": "tabular", "asked": "tabular"}, "sequence", WORDS, "exact-match", length=3
    )

    def load(self, part: Part) -> Split:
        rows, seed = {"train": (400, 1), "val": (80, 2), "test": (80, 3)}[part]
        draw = torch.Generator().manual_seed(seed)
        point = torch.randn(rows, 2, generator=draw)
        both = torch.arange(rows) % 2
        first = torch.where(point[:, 0] > 0, 1, 2)
        second = torch.where(point[:, 1] > 0, 3, 4) * both
        target = torch.stack([first, second, torch.zeros(rows).long()], dim=1)
        columns = {"point": Column(3 * point), "asked": Column(both.float().unsqueeze(1) * 4 - 2)}
        asked = tuple("both" if two else "one" for two in both.tolist())
        return Split(columns, target, {"asked": asked})
