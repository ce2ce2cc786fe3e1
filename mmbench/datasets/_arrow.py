"""A data set of the library ``datasets``, its pictures and sounds left in their Arrow files."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mmbench.errors import DataUnavailable, InvalidParameter, UnusableData, did_you_mean
from mmbench.tables.fields import Fields
from mmbench.tables.kinds import ColumnKind, infer_kind
from mmbench.tables.media import FULL_SCALE, Array, Broken, decode_sound, fit_sound, picture
from mmbench.tables.modalities import TABLE, TABULAR, modality_name
from mmbench.tables.recipe import text_column
from mmbench.tables.splitting import NAMES, draw_parts
from mmbench.tables.targets import Target, infer_target, read_target
from mmbench.types import MISSING, Column, Kind, Part

MEDIA: Mapping[str, Kind] = {"Image": "image", "Audio": "audio"}
"""Features of the library that hold files."""
DRAWN = 0.1
"""Share of the training rows that stands in for a split that is not there."""


@dataclass(frozen=True, slots=True)
class ArrowFiles:
    """Lazy values: pictures or sounds in the rows of an Arrow table."""

    rows: Any
    """A ``datasets.Dataset`` whose column is not decoded: a dict of bytes and path."""
    column: str
    kind: Kind
    size: int
    """Pixels of a side, or samples."""
    which: Tensor  # (values,)

    def __len__(self) -> int:
        return len(self.which)

    def __getitem__(self, index: Tensor) -> Tensor:
        """(index, 3, size, size) uint8, or (index, size) float32."""
        places = self.which[index].tolist()
        cells = self.rows[places][self.column] if places else []
        found = [self._decoded(c, row) for c, row in zip(cells, places, strict=True)]
        if self.kind == "image":
            blank = np.empty((0, 3, self.size, self.size), np.uint8)
            return torch.from_numpy(np.stack(found) if found else blank)
        sounds = np.stack(found) if found else np.empty((0, self.size), np.int16)
        return torch.from_numpy(sounds).float() / FULL_SCALE

    def _decoded(self, cell: Mapping[str, Any], row: int) -> Array:
        try:
            content = cell["bytes"] or Path(cell["path"]).read_bytes()
            if self.kind == "image":
                return picture(content, self.size)
            return fit_sound(decode_sound(io.BytesIO(content))[0], self.size)
        except (OSError, ValueError, SyntaxError, Broken) as error:
            raise UnusableData(
                f"Column {self.column!r}, row {row + 1}: the {self.kind} cannot be read: {error}. "
                "Take the row out of the data set."
            ) from None


@dataclass(frozen=True, slots=True)
class Read:
    """A data set but for its pictures and sounds."""

    rows: Any
    digest: str
    kinds: Mapping[str, Kind]
    media: Mapping[str, str]
    columns: Mapping[str, Column]
    target: Target
    parts: np.ndarray


@lru_cache(maxsize=2)
def read(path: str, config: str, target: str, target_kind: str, seed: int) -> Read:
    splits = _splits(path, config)
    import datasets

    rows = datasets.concatenate_datasets(list(splits.values()))
    if target not in rows.column_names:
        raise InvalidParameter(
            f"{path} has no column {target!r}.{did_you_mean(target, rows.column_names)} "
            f"Columns: {', '.join(rows.column_names)}. Set task.target."
        )
    media: dict[str, str] = {}
    for name, feature in rows.features.items():
        if type(feature).__name__ in MEDIA:
            rows = rows.cast_column(name, type(feature)(decode=False))
            media[modality_name(name)] = name
    kinds: dict[str, Kind] = {
        m: MEDIA[type(rows.features[name]).__name__] for m, name in media.items()
    }
    table = rows.remove_columns(list(media.values())).to_pandas()
    found = _target(table, target, target_kind, rows.features[target])
    parts = _parts(splits, found, seed)
    columns = _columns(table.drop(columns=target), parts)
    kinds |= {m: "tabular" if m == TABLE else "text" for m in columns}
    digest = hashlib.sha256("".join(s._fingerprint for s in splits.values()).encode())
    return Read(rows, digest.hexdigest()[:12], kinds, media, columns, found, parts)


def _splits(path: str, config: str) -> dict[Part, Any]:
    """By part; what has no such name is left aside."""
    try:
        import datasets
    except ImportError:
        raise DataUnavailable(
            "The task 'huggingface' takes the library datasets: pip install 'mmbench[huggingface]'."
        ) from None
    try:
        saved = (Path(path) / "dataset_dict.json").exists() or (Path(path) / "state.json").exists()
        found = (
            datasets.load_from_disk(path) if saved else datasets.load_dataset(path, config or None)
        )
    except Exception as error:  # noqa: BLE001 - the library raises whatever its readers and the network do
        raise DataUnavailable(
            f"{path} is no data set that the library datasets can read: {type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else ''}. Give a folder, or a name with a "
            "connection."
        ) from None
    if isinstance(found, datasets.Dataset):
        return {"train": found}
    return {NAMES[name]: split for name, split in found.items() if name in NAMES}  # type: ignore[misc]


def _target(table: pd.DataFrame, name: str, kind: str, feature: Any) -> Target:
    """Classes by their names, where the data set has them; every row needs a target."""
    cells = table[name]
    if hasattr(feature, "int2str"):
        cells = cells.map(lambda code: feature.int2str(int(code)) if code >= 0 else None)
        kind = kind or "classification"
    inferred, separator = infer_target(cells)
    found, _ = read_target(cells, kind or inferred, separator)  # type: ignore[arg-type]
    return found


def _parts(splits: Mapping[Part, Any], target: Target, seed: int) -> np.ndarray:
    """(rows,) the library's splits; missing ones are drawn from the training rows, by class."""
    parts = np.concatenate([np.full(len(split), part) for part, split in splits.items()])
    parts = np.where(target.known, parts.astype(object), "")
    absent = [part for part in ("val", "test") if part not in splits]
    rows = np.flatnonzero(parts == "train")
    if absent and len(rows):
        held = [DRAWN if part in absent else 0.0 for part in ("val", "test")]
        classes = target.kind == "classification"
        strata = target.values.numpy()[rows] if classes else np.zeros(len(rows), dtype=np.int64)
        shares = (1 - sum(held), *held)
        parts[rows] = draw_parts(np.arange(len(rows)), strata, shares, seed)
    return parts


def _columns(table: pd.DataFrame, parts: np.ndarray) -> dict[str, Column]:
    """Texts, and one modality of numbers, categories and dates; what is constant is left out."""
    found: dict[str, Column] = {}
    fields: dict[ColumnKind, list[str]] = {}
    for name in table.columns:
        kind = infer_kind(table[name], Path())
        if kind.kind == "text":
            found[modality_name(name)] = text_column(table, [name])
        elif kind.kind in TABULAR:
            fields.setdefault(kind.kind, []).append(name)
    if fields:
        vectors, there = Fields.fit(table[parts == "train"], fields).vectors(table)
        index = torch.where(there, torch.arange(len(there)), MISSING)
        found[TABLE] = Column(vectors, index)
    return found
