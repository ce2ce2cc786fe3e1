"""A data set of the library ``datasets`` as columns, target and parts."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmbench.datasets._arrow import MEDIA, MediaKind, content_digest, digests, present
from mmbench.datasets._features import file_kind, plain, seems, with_files
from mmbench.datasets._library_splits import alike, splits_of
from mmbench.errors import InvalidParameter, UnusableData, did_you_mean
from mmbench.tables.cleaning import left_aside
from mmbench.tables.copies import Groups, Tied, groups_of, keyed
from mmbench.tables.fields import Fields
from mmbench.tables.findings import Finding
from mmbench.tables.kinds import Seems
from mmbench.tables.modalities import Modalities, inferred
from mmbench.tables.notation import plain_numbers
from mmbench.tables.recipe import Recipe, joined_text
from mmbench.tables.shapes import shape_of_sequences
from mmbench.tables.splitting import draw_parts
from mmbench.tables.targets import (
    TARGETS_ARE,
    Target,
    infer_target,
    pair_target,
    read_target,
    standardised,
)
from mmbench.types import Column, Kind, Part

log = logging.getLogger(__name__)
DRAWN = 0.1
"""Share of the training rows that stands in for a split that is not there."""


@dataclass(frozen=True, slots=True)
class Library:
    """A data set but for its pictures and sounds."""

    rows: Any
    """Of all splits, one after the other; files are not decoded."""
    digest: str
    kinds: Mapping[str, Kind]
    """By modality."""
    media: Mapping[str, tuple[str, MediaKind, np.ndarray]]
    """By modality: a column of files, what they are, and (rows,) whether a row has one."""
    columns: Mapping[str, Column]
    """The other modalities."""
    target: Target
    parts: np.ndarray
    groups: Groups
    """(rows,) the same number for rows that share an item of a pair."""


@lru_cache(maxsize=2)
def read(path: str, config: str, columns: str, target: str, target_kind: str, seed: int) -> Library:
    """``columns``: those that are read, ``a,b``; all if empty. Of retrieval there is no target."""
    splits = splits_of(path, config)
    import datasets

    try:
        rows = with_files(datasets.concatenate_datasets(alike(splits, path)))
    except ValueError as error:
        raise UnusableData(f"The splits of {path} have other columns: {error}.") from None
    target = "" if target_kind == "retrieval" else target
    names = _read(rows.column_names, columns, target, target_kind, path)
    _check_target(rows, target)
    kinds_of_files = {n: k for n in names if (k := file_kind(rows.features[n]))}
    seem = {n: Seems(kind, "files of the data set") for n, kind in kinds_of_files.items()}
    table = rows.select_columns([n for n in (*names, target) if n and n not in seem]).to_pandas()
    table, written = _in_plain_numbers(plain(table, rows.features), target, target_kind)
    seem |= {n: seems(table[n], rows.features[n], pairs=not target) for n in names if n not in seem}
    made = inferred({name: seem[name] for name in names}, ())
    written += left_aside(seem, ())
    if not made:
        reasons = "; ".join(f"{name!r}: {seem[name].why}" for name in names)
        raise UnusableData(f"{path} has no column to learn from besides the target: {reasons}.")
    media = {
        m: (of[kind][0], kind, present(rows, of[kind][0]))
        for m, of in made.items()
        for kind in MEDIA.values()
        if kind in of
    }
    if target:
        found, findings = _target(table, target, target_kind, rows.features[target])
        groups = np.arange(len(rows))
    else:
        found, findings, groups = _pairs(rows, table, made)
    for finding in [*written, *findings]:
        log.warning("%s: %s: %s", path, finding.where, finding.says)
    parts = _parts(splits, found, groups, seed)
    recipe = _recipe(table, {m: of for m, of in made.items() if m not in media}, parts)
    kinds: dict[str, Kind] = {**recipe.kinds, **{m: kind for m, (_, kind, _) in media.items()}}
    sizes = {part: len(split) for part, split in splits.items()}
    content = content_digest(rows.select_columns([n for n in (*names, target) if n]))
    digest = hashlib.sha256(f"{sizes} {content}".encode())
    return Library(
        rows, digest.hexdigest()[:12], {m: kinds[m] for m in made}, media,
        recipe.apply(table, Path()), standardised(found, parts)[0], parts, groups,
    )  # fmt: skip


def _check_target(rows: Any, target: str) -> None:
    if target and (kind := file_kind(rows.features[target])):
        raise InvalidParameter(
            f"The target {target!r} holds files ({kind}), which are no answers. Set task.target to "
            "a column of classes, labels, numbers or texts, or task.target_kind=retrieval."
        )


def _read(there: list[str], asked: str, target: str, kind: str, path: str) -> list[str]:
    """The columns that modalities are made of."""
    if kind not in ("", *TARGETS_ARE):
        raise InvalidParameter(
            f"task.target_kind={kind}: allowed are {', '.join(TARGETS_ARE)}."
            f"{did_you_mean(kind, TARGETS_ARE)}"
        )
    names = [name.strip() for name in asked.split(",") if name.strip()]
    for name, setting in [*((n, "task.columns") for n in names), (target, "task.target")]:
        if name and name not in there:
            raise InvalidParameter(
                f"{path} has no column {name!r}.{did_you_mean(name, there)} "
                f"Columns: {', '.join(there)}. Set {setting}."
            )
    if target in names:
        raise InvalidParameter(
            f"task.columns names {target!r}, which is the target: a model that reads what it is to "
            "say learns nothing else. Take it out."
        )
    return names or [name for name in there if name != target]


def _in_plain_numbers(
    table: pd.DataFrame, target: str, target_kind: str
) -> tuple[pd.DataFrame, list[Finding]]:
    """Numbers as people write them are read, but for the sides of pairs."""

    def may_be_numbers(name: str) -> bool:
        return bool(target) and (name != target or target_kind in ("", "regression"))

    table, _, findings = plain_numbers(table, may_be_numbers)
    return table, findings


def _target(
    table: pd.DataFrame, name: str, kind: str, feature: Any
) -> tuple[Target, list[Finding]]:
    """Classes by their names, where the data set has them; every row needs a target."""
    cells = table[name]
    if hasattr(feature, "int2str"):
        cells = cells.map(lambda code: feature.int2str(int(code)) if code >= 0 else None)
        kind = kind or "classification"
    inferred_kind, separator = infer_target(cells)
    return read_target(cells, kind or inferred_kind, separator)  # type: ignore[arg-type]


def _pairs(
    rows: Any, table: pd.DataFrame, made: Modalities
) -> tuple[Target, list[Finding], Groups]:
    """Which item each side of a row shows, and which rows share one."""
    if len(made) != 2:
        raise InvalidParameter(
            f"Retrieval finds one modality by another: it takes two, and here are "
            f"{', '.join(made)}. Name the two, as in --set task.columns=image,caption."
        )
    items = []
    for modality, of in made.items():
        kind = next(iter(of))
        if kind in MEDIA.values():
            items.append(keyed(list(digests(rows, of[kind][0]))))
        elif kind == "text":
            items.append(keyed([text or None for text in joined_text(table, of[kind])]))
        else:
            raise UnusableData(f"{modality} is no picture, sound or text, which retrieval finds.")
    target, findings = pair_target(*items)
    return target, findings, groups_of([Tied("of one item", keys) for keys in items], len(rows))


def _parts(splits: Mapping[Part, Any], target: Target, groups: Groups, seed: int) -> np.ndarray:
    """(rows,) the library's splits; those without a row are drawn from training rows, by class.

    A test split whose targets were kept back, as those of GLUE, has none.
    """
    parts = np.concatenate([np.full(len(split), part) for part, split in splits.items()])
    parts = np.where(target.known, parts.astype(object), "")
    absent = [part for part in ("val", "test") if not (parts == part).any()]
    rows = np.flatnonzero(parts == "train")
    if absent and len(rows):
        held = [DRAWN if part in absent else 0.0 for part in ("val", "test")]
        classes = target.kind == "classification"
        strata = target.values.numpy()[rows] if classes else np.zeros(len(rows), dtype=np.int64)
        shares = (1 - sum(held), *held)
        parts[rows] = draw_parts(groups[rows], strata, shares, seed)
    return parts


def _recipe(table: pd.DataFrame, made: Modalities, parts: np.ndarray) -> Recipe:
    """How modalities that are not files are made, learnt from training rows."""
    texts = {m: tuple(of["text"]) for m, of in made.items() if "text" in of}
    sequences = {
        m: (name, shape_of_sequences(table[name]))
        for m, of in made.items()
        for name in of.get("series", ())
    }
    tables = {
        m: Fields.fit(table, of, parts == "train")
        for m, of in made.items()
        if m not in {*texts, *sequences}
    }
    return Recipe(texts, tables, {}, sequences, tuple(made))
