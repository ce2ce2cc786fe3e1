"""Numbers, categories and dates of a row as one vector.

The scale is the encoder's business, but for numbers that float32 cannot tell apart. What is learnt
(such numbers' scale, which categories there are) is of training rows alone, and is plain JSON.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mmbench.tables.cells import categories
from mmbench.tables.classes import alike
from mmbench.tables.dates import DATE_PARTS, MONTH_FIRST, Order, date_parts, orders
from mmbench.tables.findings import Finding
from mmbench.tables.modalities import Made
from mmbench.tables.numbers import as_numbers

MOST_CATEGORIES = 64
"""The most frequent categories of a column have a place of their own, the others share one."""
ALL = slice(None)
Scale = tuple[float, float]
"""What is taken off a number, and what the rest is divided by."""
AS_IT_IS: Scale = (0.0, 1.0)
ROUNDED = 1e-3
"""Rounding to float32 that matters, as a share of how far apart the numbers of a column are."""
RARE = 2
"""Of a column with more categories, those of fewer training rows never have their own place."""


@dataclass(frozen=True, slots=True)
class Fields:
    """How the columns of one tabular modality become numbers."""

    numbers: tuple[str, ...]
    dates: Mapping[str, Order]
    """By column: what comes first where the year comes last."""
    categories: Mapping[str, tuple[str, ...]]
    """By column: the categories with a place of their own."""
    scales: Mapping[str, Scale]
    """By column: of numbers and days that float32 would round to fewer values."""

    @classmethod
    def fit(cls, frame: pd.DataFrame, columns: Made, train: np.ndarray | slice = ALL) -> "Fields":
        """``columns`` by kind: number, date, category; ``train`` (rows,) says which to learn from.

        How dates are written is no matter of learning: all rows tell it.
        """
        numbers = tuple(columns.get("number", ()))
        dates = {name: orders(frame[name]).order for name in columns.get("date", ())}
        measured = {name: numeric(frame[name]) for name in numbers}
        measured |= {name: date_parts(frame[name], order)[:, 0] for name, order in dates.items()}
        scales = {name: scale_of(values[train]) for name, values in measured.items()}
        return cls(
            numbers,
            dates,
            {name: _frequent(frame[name][train]) for name in columns.get("category", ())},
            {name: scale for name, scale in scales.items() if scale != AS_IT_IS},
        )

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.numbers, *self.dates, *self.categories)

    @property
    def entries(self) -> list[str]:
        """The column of each number of a vector."""
        dates = [name for name in self.dates for _ in range(DATE_PARTS)]
        hot = [name for name, known in self.categories.items() for _ in range(len(known) + 1)]
        return [*self.numbers, *dates, *hot]

    def vectors(self, frame: pd.DataFrame) -> tuple[Tensor, Tensor]:
        """(rows, width) float32, NaN for empty cells; (rows,) whether any cell is filled."""
        blocks = [numeric(frame[name])[:, None] for name in self.numbers]
        there = [np.isfinite(block[:, 0]) for block in blocks]
        for name, order in self.dates.items():
            blocks.append(date_parts(frame[name], order))
            there.append(np.isfinite(blocks[-1][:, 0]))
        for name, block in zip((*self.numbers, *self.dates), blocks, strict=True):
            offset, scale = self.scales.get(name, AS_IT_IS)
            block[:, 0] = (block[:, 0] - offset) / scale
        for name, known in self.categories.items():
            cells = categories(frame[name])
            blocks.append(_one_hot(cells, known))
            there.append(cells.notna().to_numpy(dtype=bool))
        vectors = torch.from_numpy(np.concatenate(blocks, axis=1).astype(np.float32))
        return vectors, torch.from_numpy(np.logical_or.reduce(there))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Fields":
        categories = {name: tuple(known) for name, known in data["categories"].items()}
        dates = data["dates"]
        if not isinstance(dates, Mapping):  # recipes that were saved before columns had an order
            dates = dict.fromkeys(dates, MONTH_FIRST)
        scales = {name: tuple(scale) for name, scale in data.get("scales", {}).items()}
        return cls(tuple(data["numbers"]), dates, categories, scales)

    def findings(self, frame: pd.DataFrame) -> list[Finding]:
        """Categories that have no place of their own."""
        found = []
        for name, known in self.categories.items():
            cells = categories(frame[name]).dropna()
            found += alike(sorted(set(cells)), name, "categories")
            others = set(cells) - set(_places(known))
            if others:
                share = cells.isin(others).mean()
                found.append(
                    Finding(
                        name,
                        f"{len(known) + len(others):,} categories; {len(others):,} that are rare "
                        f"or not in training rows count as one, 'other' ({share:.0%} of rows)",
                        "done",
                    )
                )
        return found


def numeric(cells: pd.Series) -> np.ndarray:
    """(rows,) float64; NaN for what is empty, infinite or no number."""
    numbers = as_numbers(cells).to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def scale_of(numbers: np.ndarray) -> Scale:
    """Mean and spread, where float32 cannot hold numbers as they are, such as times since 1970."""
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return AS_IT_IS
    mean = float(numbers.mean())
    spread = float(np.abs(numbers - mean).mean())
    with np.errstate(over="ignore"):
        rounding = np.abs(numbers.astype(np.float32) - numbers).max()
    return (mean, spread) if spread and rounding > ROUNDED * spread else AS_IT_IS


def _frequent(cells: pd.Series) -> tuple[str, ...]:
    counts = categories(cells).value_counts()
    if len(counts) > MOST_CATEGORIES:
        counts = counts[counts >= RARE]
    ordered = sorted(counts.index, key=lambda value: (-counts[value], value))
    return tuple(sorted(ordered[:MOST_CATEGORIES]))


def _one_hot(cells: pd.Series, known: Sequence[str]) -> np.ndarray:
    """(rows, known + 1); the last is any other category. An empty cell is all zeros."""
    place = _places(known)
    hot = np.zeros((len(cells), len(known) + 1))
    rows = np.flatnonzero(cells.notna().to_numpy(dtype=bool))
    hot[rows, [place.get(cells.iloc[row], len(known)) for row in rows]] = 1.0
    return hot


def _places(known: Sequence[str]) -> dict[str, int]:
    """By category; recipes were saved before " cat" was the same as "cat"."""
    told = categories(pd.Series(known, dtype=object))
    return {value: i for names in (told, known) for i, value in enumerate(names)}
