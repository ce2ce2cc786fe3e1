"""The base of the generated tasks: hidden bits in, noisy modalities and labels out."""

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from mmbench.contracts import Card, Dataset
from mmbench.datasets._seeded import generator
from mmbench.errors import InvalidParameter
from mmbench.parts import PARTS
from mmbench.types import Column, Kind, Part, Split, Task

WIDEST, MOST = 2**16, 2**28
"""Dimensions, and numbers of one modality (1 GiB): a stranger's row may ask for any."""


class Generated(Dataset):
    """Draws hidden bits (rows, n_bits), shows them in modalities and labels the rows.

    ``size`` is the number of training and of test rows; validation has a quarter of it.
    """

    modalities: ClassVar[tuple[str, ...]] = ("a", "b")
    kind: ClassVar[Kind] = "tabular"
    n_bits: ClassVar[int]
    n_classes: ClassVar[int] = 2
    shown_per_modality: ClassVar[int] = 1
    """How many directions a modality needs; it cannot have fewer dimensions."""
    card = Card(
        source="generated from hidden bits",
        licence="none needed: generated",
        split="every row is drawn afresh, from a generator of its own for each part",
        rows={"train": 4000, "val": 1000, "test": 4000},
    )

    def __init__(
        self,
        *,
        noise: float = 0.5,
        label_noise: float = 0.0,
        dim: int = 16,
        size: int = 4000,
    ) -> None:
        self.noise, self.label_noise, self.dim, self.size = noise, label_noise, dim, size
        self._check()
        self.version = f"1/noise={noise},label_noise={label_noise},dim={dim},size={size}"
        self.task = Task(
            modalities=dict.fromkeys(self.modalities, self.kind),
            target="classification",
            outputs=tuple(map(str, range(self.n_classes))),
            metric="accuracy",
            optimum=with_label_noise(self.best(), self.label_noise, self.n_classes),
        )

    def best(self) -> float:
        """The accuracy of the Bayes rule before label noise."""
        raise NotImplementedError

    def show(self, modality: str, bits: Tensor, draw: torch.Generator) -> Tensor:
        """(rows, dim) the values of one modality, given all hidden bits (rows, n_bits) as ±1."""
        raise NotImplementedError

    def label(self, bits: Tensor) -> Tensor:
        """(rows,) classes, from hidden bits (rows, n_bits) as ±1."""
        raise NotImplementedError

    def load(self, part: Part) -> Split:
        rows = self._rows()
        first = sum(rows[p] for p in PARTS[: PARTS.index(part)])
        draw = self._generator(part)
        bits = 2.0 * torch.randint(2, (rows[part], self.n_bits), generator=draw) - 1.0
        columns = {m: Column(self.show(m, bits, draw)) for m in self.modalities}
        target = self._replaced(self.label(bits), draw)
        return Split(columns, target, source=torch.arange(first, first + rows[part]))

    def noisy(self, rows: int, draw: torch.Generator) -> Tensor:
        return self.noise * torch.randn(rows, self.dim, generator=draw)

    def directions(self, modality: str) -> Tensor:
        """(shown_per_modality, dim) orthogonal unit directions, the same in every part."""
        return orthonormal(self.shown_per_modality, self.dim, self._generator(modality))

    def _rows(self) -> Mapping[Part, int]:
        return {"train": self.size, "val": self.size // 4, "test": self.size}

    def _generator(self, purpose: str) -> torch.Generator:
        return generator(self.name, purpose)

    def _replaced(self, target: Tensor, draw: torch.Generator) -> Tensor:
        others = torch.randint(1, self.n_classes, target.shape, generator=draw)
        replace = torch.rand(target.shape, generator=draw) < self.label_noise
        return torch.where(replace, (target + others) % self.n_classes, target)

    def _check(self) -> None:
        most = MOST // max(self.dim, 1)
        for name, value, allowed, fine in (
            ("noise", self.noise, "above 0", self.noise > 0),
            ("label_noise", self.label_noise, "0 to below 0.5", 0 <= self.label_noise < 0.5),
            ("dim", self.dim, f"{self.shown_per_modality} to {WIDEST:,}", self._wide_enough()),
            ("size", self.size, f"4 to {most:,}, with this dim", 4 <= self.size <= most),
        ):
            if not fine:
                raise InvalidParameter(f"{self.name}.{name} = {value!r}. Allowed: {allowed}.")

    def _wide_enough(self) -> bool:
        return self.shown_per_modality <= self.dim <= WIDEST


def seen(signal_to_noise: float) -> float:
    """Φ: the probability that a Gaussian of this mean and variance one is positive."""
    return 0.5 * math.erfc(-signal_to_noise / math.sqrt(2))


def parity_accuracy(p: float, bits: int) -> float:
    """How often the parity is right of bits that are each right with probability ``p``."""
    return 0.5 * (1 + (2 * p - 1) ** bits)


def with_label_noise(accuracy: float, share: float, classes: int) -> float:
    return accuracy * (1 - share) + (1 - accuracy) * share / (classes - 1)


def orthonormal(count: int, dim: int, draw: torch.Generator) -> Tensor:
    """(count, dim) random orthogonal unit vectors, by Gram and Schmidt."""
    found: list[Tensor] = []
    for vector in torch.randn(count, dim, generator=draw, dtype=torch.float64):
        for other in found:
            vector = vector - (vector @ other) * other
        found.append(vector / vector.norm())
    return torch.stack(found).float()
