"""From a table's options to parts that can be trained on: the straight line of a user's own data.

read → complete the options → target → decode files → tie copies → split → learn the recipe on train
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from mmbench.errors import DataUnavailable
from mmbench.spec import digest as digest_of
from mmbench.tables import cleaning, decoded, filled
from mmbench.tables.cells import strings, with_value
from mmbench.tables.copies import Groups, Tied, keyed
from mmbench.tables.dividing import Division, divide, official, ties
from mmbench.tables.fields import Fields
from mmbench.tables.findings import Finding
from mmbench.tables.giveaways import giveaways
from mmbench.tables.kinds import ColumnKind, Seems
from mmbench.tables.modalities import Made, Read, parsed_modalities, read_columns
from mmbench.tables.notation import Notation, plain_numbers
from mmbench.tables.odd import odd_numbers
from mmbench.tables.options import (
    NOTHING,
    Asked,
    TableOptions,
    complete,
    may_be_numbers,
    mirrored,
)
from mmbench.tables.prepared import Prepared
from mmbench.tables.read import file_digest, read_table
from mmbench.tables.recipe import (
    Files,
    Recipe,
    joined_text,
    sequence_values,
)  # fmt: skip
from mmbench.tables.shapes import shape_of_files, shape_of_sequences
from mmbench.tables.splitting import parse_split
from mmbench.tables.store import Progress, Store, store
from mmbench.tables.targets import METRIC, Target, pair_target, read_target, standardised
from mmbench.types import MISSING, Column, Task

RULES = 4
"""Changes when the same table would be read or split otherwise."""
ASKED = ("target", "target_kind", "separator", "split", "seed")
"""Options that decide what is asked of which rows: others are another way to read them."""
FILE_KINDS: tuple[ColumnKind, ...] = ("image", "audio", "video", "series")

Watch = Callable[[str], Progress]
"""Told which column is being decoded; returns what is told how far that is."""


def unwatched(_: str) -> Progress:
    return lambda *_: None


@lru_cache(maxsize=4)
def prepare(options: TableOptions) -> Prepared:
    """The table that the options describe, once per process."""
    return prepare_anew(options)


def prepare_anew(
    options: TableOptions, asked: Asked = NOTHING, watch: Watch = unwatched
) -> Prepared:
    """As ``prepare``, with what was said of the columns; every fault of the data is found here."""
    path = Path(options.path)
    digest = file_digest(path)
    if options.sha256 and options.sha256 != digest:
        raise DataUnavailable(
            f"{path} has changed: its SHA-256 is {digest[:12]}…, it was {options.sha256[:12]}… "
            "when this was set up. Bring the old file back, or start anew with --data."
        )
    frame, findings = read_table(path)
    frame, notations, read = plain_numbers(frame, partial(may_be_numbers, options, asked))
    options, seems = complete(options, frame, asked)
    options = replace(options, sha256=digest)
    found = [*findings, *read]
    return _Preparation(options, seems, frame, found, watch, notations=notations).run()


def prepare_published(
    frame: pd.DataFrame, sources: np.ndarray, options: TableOptions, watch: Watch = unwatched
) -> Prepared:
    """A published data set as a table: its split is kept as it is.

    ``options`` are complete and carry a digest of the files that ``frame`` was read from;
    ``sources`` (rows,) say what each row was taken from.
    """
    options, seems = complete(options, frame)
    return _Preparation(options, seems, frame, [], watch, sources).run()


class _Preparation:
    """The steps, each adding to what is known and to what was found."""

    def __init__(
        self,
        options: TableOptions,
        seems: Mapping[str, Seems],
        frame: pd.DataFrame,
        findings: list[Finding],
        watch: Watch,
        sources: np.ndarray | None = None,
        notations: Mapping[str, Notation] = MappingProxyType({}),
    ) -> None:
        self.options, self.seems, self.frame, self.watch = options, seems, frame, watch
        self.findings, self.sources, self.notations = findings, sources, notations
        self.modalities = parsed_modalities(options.modalities)
        self.mirrored = mirrored(self.options)
        self.how = parse_split(options.split, [c for c in frame.columns if c != options.target])
        self.stores: dict[str, tuple[Files, Store]] = {}
        self.texts: dict[str, tuple[str, ...]] = {}
        self.files: dict[str, tuple[str, Any]] = {}
        self.sequences: dict[str, tuple[str, Any]] = {}

    def run(self) -> Prepared:
        target = self._target()
        roles = (self.options.target, self.how.column, self.how.group)
        self.findings += cleaning.left_aside(self.seems, roles)
        for modality, made in self.modalities.items():
            self._media(modality, made)
        self.there = {read: self._there(read) for read in read_columns(self.modalities)}
        if target is None:
            target, found = pair_target(*map(self._items, self.modalities))
            self.findings += found
        self.findings += giveaways(self.frame, self._by_kind(), target)
        anything = np.logical_or.reduce(list(self.there.values()))
        self.findings += filled.without_value(np.flatnonzero(~anything))
        usable = target.known & anything
        if self.sources is not None:
            division = official(self.frame[self.how.column], usable, self.sources)
        else:
            division = divide(
                self.frame, self.options, self.how, target, usable, self._ties(), self.findings
            )
        return self._finish(target, self._learnt(division))

    def _target(self) -> Target | None:
        """None where each row is a pair: what its sides show is known once files are decoded."""
        if self.options.target_kind == "retrieval":
            return None
        target, found = read_target(
            self.frame[self.options.target],
            self.options.target_kind,  # type: ignore[arg-type]
            self.options.separator,
        )
        self.findings += found
        return target

    def _by_kind(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for column, kind, _ in read_columns(self.modalities):
            found.setdefault(kind, []).append(column)
        return found

    def _media(self, modality: str, made: Made) -> None:
        """Texts are noted; files are decoded, once."""
        kind = next(iter(made))
        if kind == "text":
            self.texts[modality] = tuple(made[kind])
        if kind not in FILE_KINDS:
            return
        (name,) = made[kind]
        if kind == "series" and not _are_paths(self.frame[name]):
            shape = shape_of_sequences(self.frame[name])
            self.findings += decoded.axes(name, shape)
            self.findings += decoded.of_sequences(self.frame[name], shape)
            self.sequences[modality] = (name, shape)
            return
        files = Files.of(self.frame[name], self.options.folder)
        shape = shape_of_files(kind, files.paths, self.options)
        found = store(files.paths, shape, self.watch(name))
        decoded.check_written(name, files, found)
        self.findings += cleaning.check_files(name, files, found)
        self.findings += decoded.axes(name, shape)
        self.findings += decoded.of_files(name, files, found, shape)
        self.files[modality], self.stores[modality] = (name, shape), (files, found)

    def _there(self, read: Read) -> np.ndarray:
        """(rows,) whether a row has a value of a column."""
        if read.modality in self.stores:
            files, found = self.stores[read.modality]
            named: np.ndarray = files.usable(found) != MISSING
            return named
        if read.modality in self.sequences:
            name, shape = self.sequences[read.modality]
            return sequence_values(self.frame[name], shape)[1].numpy()
        return filled.filled(self.frame[read.column], read.kind)

    def _items(self, modality: str) -> Groups:
        """(rows,) which item of a modality each row shows; equal contents are one item."""
        if modality in self.stores:
            files, found = self.stores[modality]
            return keyed(files.digests(found))
        if modality in self.texts:
            return keyed([text or None for text in joined_text(self.frame, self.texts[modality])])
        names = [c for c, _, m in read_columns(self.modalities) if m == modality]
        rows = zip(*(strings(self.frame[name]).fillna("") for name in names), strict=True)
        there = filled.of_modality(self.there, modality)
        return keyed([row if has else None for row, has in zip(rows, there, strict=True)])

    def _ties(self) -> list[Tied]:
        files = {self.files[m][0]: of for m, of in self.stores.items()}
        cells = [c for c, _, m in read_columns(self.modalities) if m not in self.stores]
        return ties(self.frame, self.how.group, files, cells)

    def _learnt(self, division: Division) -> Division:
        """Without columns that no training row has a value of, and rows that then have none."""
        self.modalities, found = filled.learnt(self.there, division.parts)
        columns = self._by_kind()
        self.findings += [*found, *cleaning.gaps(self.frame, columns)]
        self.findings += odd_numbers(self.frame, columns, self.seems)
        parts = filled.check_left(self.there, self.modalities, division.parts)
        gone = np.flatnonzero(parts != division.parts)
        self.findings += filled.without_value(gone)
        self.mirrored = tuple(m for m in self.mirrored if m in self.modalities)
        for of in (self.texts, self.files, self.stores, self.sequences):
            for modality in of.keys() - self.modalities.keys():
                del of[modality]
        self.texts = {m: tuple(self.modalities[m]["text"]) for m in self.texts}
        return replace(division, parts=parts)

    def _finish(self, target: Target, division: Division) -> Prepared:
        parts = division.parts
        tables = {
            m: Fields.fit(self.frame, made, parts == "train")
            for m, made in self.modalities.items()
            if m not in {*self.texts, *self.files, *self.sequences}
        }
        for made in tables.values():
            self.findings += made.findings(self.frame)
        read = {column for column, _, _ in read_columns(self.modalities)}
        recipe = Recipe(
            self.texts, tables, self.files, self.sequences, tuple(self.modalities),
            {name: notation for name, notation in self.notations.items() if name in read},
        )  # fmt: skip
        target, scale = standardised(target, parts)
        return Prepared(
            self.options, self.seems, tuple(self.findings),
            Task(
                recipe.kinds, target.kind, target.outputs, METRIC[target.kind],
                mirrored=self.mirrored, length=target.length,
            ),
            self._version(), recipe, self._in_memory(recipe), target.values, scale, division,
            self.stores,
        )  # fmt: skip

    def _in_memory(self, recipe: Recipe) -> dict[str, Column]:
        """Every modality but those of files, of all rows."""
        alone = recipe.only([m for m in recipe.order if m not in self.stores])
        return alone.apply(self.frame, self.options.folder)

    def _version(self) -> str:
        digest = hashlib.sha256()
        for modality in sorted(self.stores):
            digest.update("".join(self.stores[modality][1].digests).encode())
        files = f"/files-{digest.hexdigest()[:12]}" if self.stores else ""
        asked = digest_of([getattr(self.options, name) for name in ASKED])
        return f"{self.options.sha256[:12]}{files}/asked-{asked}/rules-{RULES}"


def _are_paths(cells: pd.Series) -> bool:
    there = with_value(cells).dropna()
    return bool(len(there)) and isinstance(there.iloc[0], str) and there.iloc[0].endswith(".npy")
