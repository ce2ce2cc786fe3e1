"""How the columns of a table become what encoders read. Plain JSON, learnt from training rows.

A saved model keeps its recipe, so that new rows are treated as the training rows were.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any, overload

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mmbench.errors import UnusableData
from mmbench.tables.cells import strings, with_value
from mmbench.tables.endings import located
from mmbench.tables.fields import Fields
from mmbench.tables.kinds import sequence
from mmbench.tables.media import Broken, Shape, steps
from mmbench.tables.notation import Notation, in_plain
from mmbench.tables.samples import OnBroken, media_column, refuse
from mmbench.tables.store import Store
from mmbench.types import MISSING, Column, Kind


@dataclass(frozen=True, slots=True)
class Recipe:
    """Each modality by what it is made of."""

    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The columns of a text, in reading order."""
    tables: Mapping[str, Fields] = field(default_factory=dict)
    files: Mapping[str, tuple[str, Shape]] = field(default_factory=dict)
    """A column of paths, and what each file is brought to."""
    sequences: Mapping[str, tuple[str, Shape]] = field(default_factory=dict)
    """A column whose cells hold numbers."""
    order: tuple[str, ...] = ()
    notations: Mapping[str, Notation] = field(default_factory=dict)
    """By column: how its numbers are written, where it is not the plain way."""

    @property
    def kinds(self) -> dict[str, Kind]:
        """The modalities in order, and the kind of each."""
        kinds: dict[str, Kind] = {
            **dict.fromkeys(self.texts, "text"),
            **dict.fromkeys(self.tables, "tabular"),
            **{m: shape.media for m, (_, shape) in self.files.items()},
            **dict.fromkeys(self.sequences, "series"),
        }
        return {m: kinds[m] for m in self.order}

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column of a table that is read."""
        found = [c for group in self.texts.values() for c in group]
        found += [c for made in self.tables.values() for c in made.columns]
        return (*found, *(c for c, _ in (*self.files.values(), *self.sequences.values())))

    def only(self, modalities: Collection[str]) -> "Recipe":
        """What these are made of: other columns are neither asked for nor decoded."""
        return Recipe(
            {m: columns for m, columns in self.texts.items() if m in modalities},
            {m: fields for m, fields in self.tables.items() if m in modalities},
            {m: files for m, files in self.files.items() if m in modalities},
            {m: cells for m, cells in self.sequences.items() if m in modalities},
            tuple(m for m in self.order if m in modalities),
            self.notations,
        )

    @property
    def numbers(self) -> set[str]:
        """The columns whose cells are read as numbers."""
        return {column for made in self.tables.values() for column in made.numbers}

    def apply(
        self, frame: pd.DataFrame, folder: Path, on_broken: OnBroken = refuse
    ) -> dict[str, Column]:
        """Every modality of a few rows, decoded now; what is missing is ``MISSING``."""
        frame = in_plain(frame, self.notations)
        found: dict[str, Column] = {m: text_column(frame, c) for m, c in self.texts.items()}
        for modality, made in self.tables.items():
            vectors, there = made.vectors(frame)
            found[modality] = _with_gaps(vectors, there)
        for modality, (column, shape) in self.files.items():
            cells = list(with_value(frame[column]))
            found[modality] = media_column(cells, shape, folder, column, on_broken)
        for modality, (column, shape) in self.sequences.items():
            values, there = sequence_values(frame[column], shape, on_broken)
            found[modality] = _with_gaps(values, there)
        return {m: found[m] for m in self.order}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Recipe":
        def shaped(found: Mapping[str, Any]) -> dict[str, tuple[str, Shape]]:
            return {m: (column, Shape(**shape)) for m, (column, shape) in found.items()}

        return cls(
            {m: tuple(columns) for m, columns in data["texts"].items()},
            {m: Fields.from_dict(fields) for m, fields in data["tables"].items()},
            shaped(data["files"]),
            shaped(data["sequences"]),
            tuple(data["order"]),
            data.get("notations", {}),  # recipes that were saved before there were such have none
        )


def text_column(frame: pd.DataFrame, columns: Sequence[str]) -> Column:
    """Unique strings in alphabetical order; an empty text is missing."""
    texts = joined_text(frame, columns)
    unique = sorted({text for text in texts if text})
    place = {text: i for i, text in enumerate(unique)}
    return Column(tuple(unique), torch.tensor([place.get(text, MISSING) for text in texts]))


def joined_text(frame: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """The cells of each row, one after the other; empty where there are none."""
    cells = [strings(frame[name]).fillna("").map(str.strip) for name in columns]
    return [". ".join(cell for cell in row if cell) for row in zip(*cells, strict=True)]


def sequence_values(
    cells: pd.Series, shape: Shape, on_broken: OnBroken = refuse
) -> tuple[Tensor, Tensor]:
    """(rows, time, channels) padded with NaN, and (rows,) whether there is a sequence."""
    values = np.full((len(cells), *shape.dims), np.nan, dtype=np.float32)
    there = np.zeros(len(cells), dtype=bool)
    for row, cell in enumerate(cells):
        found = sequence(cell)
        if found is None:
            continue
        try:
            values[row] = steps(np.where(np.isfinite(found), found, np.nan), shape)
        except Broken as why:
            on_broken(str(cells.name), row, cell, why)
            continue
        there[row] = bool(np.isfinite(values[row]).any())
    return torch.from_numpy(values), torch.from_numpy(there)


def _with_gaps(values: Tensor, there: Tensor) -> Column:
    if there.all():
        return Column(values)
    index = torch.where(there, torch.arange(len(there)), MISSING)
    return Column(values, index)


@dataclass(frozen=True, slots=True)
class Paths(Sequence[Path]):
    """Paths under one folder, made when they are asked for: a ``Path`` takes half a kilobyte."""

    folder: Path
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, place: int) -> Path: ...

    @overload
    def __getitem__(self, place: slice) -> "Paths": ...

    def __getitem__(self, place: int | slice) -> "Path | Paths":
        if isinstance(place, slice):
            return Paths(self.folder, self.names[place])
        return located(self.folder, self.names[place])


@dataclass(frozen=True, slots=True)
class Files:
    """The distinct files of a column of paths, and which of them each row names."""

    paths: Paths
    index: np.ndarray  # (rows,) MISSING where the cell is empty

    @classmethod
    def of(cls, cells: pd.Series, folder: Path) -> "Files":
        texts = strings(with_value(cells)).map(str.strip, na_action="ignore")
        texts = texts.mask(texts == "").astype(object)  # an empty column has become numbers
        remote = texts[texts.str.contains("://", regex=False, na=False)]
        if len(remote):
            raise UnusableData(
                f"Column {cells.name!r}, row {remote.index[0] + 1}: {remote.iloc[0]!r} is an "
                "address; mmbench downloads nothing. Fetch the files and name their paths, or "
                f"leave the column out: --kind {quote(f'{cells.name}=ignored')}."
            )
        names = sorted(set(texts.dropna()))
        place = {name: i for i, name in enumerate(names)}
        index = np.array([place.get(text, MISSING) for text in texts], dtype=np.int64)
        return cls(Paths(folder, tuple(names)), index)

    def rows_of(self, which: Iterable[int]) -> list[int]:
        """Every row that names one of these files."""
        rows: list[int] = np.flatnonzero(np.isin(self.index, list(which))).tolist()
        return rows

    def column(self, decoded: Store, rows: np.ndarray) -> Column:
        """Lazy values of the files that these rows name; a broken file is a missing value."""
        index = self.usable(decoded)[rows]
        used, inverse = np.unique(index[index >= 0], return_inverse=True)
        here = np.full(len(rows), MISSING, dtype=np.int64)
        here[index >= 0] = inverse
        return Column(decoded.values.subset(torch.from_numpy(used)), torch.from_numpy(here))

    def usable(self, decoded: Store) -> np.ndarray:
        """(rows,) the file of each row, MISSING where there is none or it is broken."""
        fine = np.array([i not in decoded.broken for i in range(len(self.paths))], dtype=bool)
        if not len(fine):
            return self.index
        there = (self.index >= 0) & fine[self.index.clip(min=0)]
        return np.where(there, self.index, MISSING)

    def digests(self, decoded: Store) -> list[str | None]:
        """(rows,) of the bytes of each row's file; None where there is none or it is broken."""
        return [None if i == MISSING else decoded.digests[i] for i in self.usable(decoded)]
