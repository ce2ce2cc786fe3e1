"""What a user says of a table, and all of it written out: the parameters of the task ``table``."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from mmbench.errors import InvalidParameter, UnusableData, did_you_mean
from mmbench.tables.kinds import COLUMN_KINDS, ColumnKind, Seems, infer_kind
from mmbench.tables.splitting import parse_split
from mmbench.tables.targets import TARGETS_ARE, infer_target

TABULAR: tuple[ColumnKind, ...] = ("number", "category", "date")
TABLE = "table"
"""The modality of all numbers, categories and dates that are not grouped otherwise."""
MOST_TEXTS = 3
"""More text columns than that are read as one text."""

Modalities = Mapping[str, Mapping[str, Sequence[str]]]
"""By modality: the columns of each kind that it is made of."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was said of the columns; all else is inferred."""

    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Kind and columns that make one modality; ``tabular`` leaves the kind of each to be seen."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """The kind of single columns."""


NOTHING = Asked()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """Everything that decides what is learnt from a table. JSON-able, and checked when used."""

    path: str = ""
    sha256: str = ""
    """Of the table when this was written; another content is refused. Empty: not checked."""
    target: str = ""
    target_kind: str = ""
    separator: str = ""
    """Between the labels of a multilabel target."""
    modalities: str = ""
    """``{"photo": {"image": ["photo"]}, "table": {"number": ["age"], "category": ["breed"]}}``."""
    mirrored: str = ""
    """Columns of pictures, ``a,b``, that mean the same with left and right exchanged."""
    split: str = "0.8/0.1/0.1"
    root: str = ""
    """Where relative paths in the table start; the table's own folder if empty."""
    image_size: int = 64
    audio_seconds: float = 0.0
    """Longer sounds are cut. 0: as long as the longest, at most 10."""
    frames: int = 8
    seed: int = 0
    """Of the split."""

    @property
    def folder(self) -> Path:
        return Path(self.root) if self.root else Path(self.path).parent

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "TableOptions":
        """The options that a task's parameters say."""
        return cls(**params)

    def params(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


def parsed_modalities(text: str) -> Modalities:
    """The ``modalities`` option, read back."""
    try:
        found = json.loads(text)
        fine = all(
            kind in COLUMN_KINDS and isinstance(columns, list)
            for by_kind in found.values()
            for kind, columns in by_kind.items()
        )
    except (json.JSONDecodeError, AttributeError):
        fine = False
    if not fine:
        raise InvalidParameter(
            f'modalities is JSON such as {{"photo": {{"image": ["photo"]}}}}; got {text!r}. '
            "Leave it out, and it is inferred."
        )
    modalities: Modalities = found
    return modalities


def complete(
    options: TableOptions, frame: pd.DataFrame, asked: Asked = NOTHING
) -> tuple[TableOptions, dict[str, Seems]]:
    """All that was left open filled in, with what each column seems to be."""
    columns = list(frame.columns)
    _check_asked(options, asked, columns)
    kind, separator = options.target_kind, options.separator
    pairs = kind == "retrieval"
    if not kind:
        seems_kind, seems_separator = infer_target(frame[options.target])
        kind = "multilabel" if separator else seems_kind
        separator = separator or seems_separator
    elif kind == "multilabel" and not separator:
        separator = infer_target(frame[options.target])[1] or "|"
    how = parse_split(options.split, [c for c in columns if c != options.target])
    seems = _seems(frame, options, asked)
    if options.modalities:
        seems = _as_written(seems, parsed_modalities(options.modalities), options.path)
    roles = {options.target: "the target", how.column: "the split"}
    _check_not_read(parsed_modalities(options.modalities or "{}"), roles)
    for name, why in {**roles, how.group: "the groups of the split"}.items():
        if name:
            seems[name] = Seems("ignored", why)
    modalities = options.modalities
    if pairs and asked.groups and not modalities:
        seems = _pair_alone(seems, asked)
    if not modalities:
        modalities = json.dumps(_modalities(seems, asked), ensure_ascii=False)
    if not parsed_modalities(modalities):
        raise UnusableData(
            f"{options.path} has no column to learn from besides the target: "
            + "; ".join(f"{name!r}: {seem.why}" for name, seem in seems.items())
        )
    if pairs and len(sides := parsed_modalities(modalities)) != 2:
        raise InvalidParameter(
            f"Retrieval finds one modality by another: it takes two, and {options.path} has "
            f"{', '.join(sides)}. Name the two, as in --image photo --text caption."
        )
    return replace(options, target_kind=kind, separator=separator, modalities=modalities), seems


def mirrored(options: TableOptions) -> tuple[str, ...]:
    """The modalities whose pictures may be mirrored in training: see ``train.flip``."""
    shown = {
        name: modality
        for modality, made in parsed_modalities(options.modalities).items()
        for kind in ("image", "video")
        for name in made.get(kind, ())
    }
    asked = [name.strip() for name in options.mirrored.split(",") if name.strip()]
    for name in asked:
        if name not in shown:
            raise InvalidParameter(
                f"--mirrored {name}: that is no column of images or videos."
                f"{did_you_mean(name, shown)} Those are: {', '.join(shown) or 'none'}."
            )
    return tuple(shown[name] for name in asked)


def _check_not_read(modalities: Modalities, roles: Mapping[str, str]) -> None:
    """A model that reads what it is to say would learn nothing else."""
    for modality, made in modalities.items():
        for name in (column for columns in made.values() for column in columns):
            if name in roles:
                raise InvalidParameter(
                    f"The modality {modality!r} reads the column {name!r}, which is {roles[name]}. "
                    f"Take it out of `modalities`, or leave `modalities` out to have it inferred."
                )


def _pair_alone(seems: Mapping[str, Seems], asked: Asked) -> dict[str, Seems]:
    """Where columns are named for retrieval, those are the pair; the others are left aside."""
    named = {name for _, group in asked.groups for name in group} | set(asked.kinds)
    aside = Seems("ignored", "not one of the pair")
    return {name: seem if name in named else aside for name, seem in seems.items()}


def _check_asked(options: TableOptions, asked: Asked, columns: list[str]) -> None:
    if options.target_kind not in ("", *TARGETS_ARE):
        raise InvalidParameter(
            f"--target-kind {options.target_kind!r}: allowed are {', '.join(TARGETS_ARE)}."
        )
    pairs = options.target_kind == "retrieval"
    if pairs and options.target:
        raise InvalidParameter(
            f"--target {options.target} does not go with --target-kind retrieval, where each row "
            "is a pair and one side finds the other. Leave --target out."
        )
    if not options.target and not pairs:
        raise InvalidParameter(
            f"Say what to predict: --target COLUMN, or --target-kind retrieval to find one side of "
            f"each row by the other. Columns: {', '.join(columns)}."
        )
    for name in (
        *filter(None, [options.target]),
        *asked.kinds,
        *(c for _, group in asked.groups for c in group),
    ):
        if name not in columns:
            raise InvalidParameter(
                f"{options.path} has no column {name!r}.{did_you_mean(name, columns)} "
                f"Columns: {', '.join(columns)}."
            )
    for name, kind in asked.kinds.items():
        if kind not in COLUMN_KINDS:
            raise InvalidParameter(
                f"--kind {name}={kind}: there is no kind {kind!r}."
                f"{did_you_mean(kind, COLUMN_KINDS)} Kinds: {', '.join(COLUMN_KINDS)}."
            )


def _seems(frame: pd.DataFrame, options: TableOptions, asked: Asked) -> dict[str, Seems]:
    set_ = {name: kind for kind, group in asked.groups for name in group} | dict(asked.kinds)
    found: dict[str, Seems] = {}
    for name in frame.columns:
        kind = set_.get(name)
        if kind in COLUMN_KINDS:
            found[name] = Seems(kind, "as you said")
            continue
        seem = infer_kind(frame[name], options.folder)
        if kind == "tabular" and seem.kind not in TABULAR:
            seem = Seems("category", "as you said")
        found[name] = seem
    return found


def _as_written(seems: Mapping[str, Seems], modalities: Modalities, path: str) -> dict[str, Seems]:
    """Columns of modalities that are given are what those say; the others are not read."""
    written = {
        name: kind for made in modalities.values() for kind, names in made.items() for name in names
    }
    if unknown := [name for name in written if name not in seems]:
        raise InvalidParameter(
            f"{path} has no column {unknown[0]!r}, which is one of modalities."
            f"{did_you_mean(unknown[0], seems)} Columns: {', '.join(seems)}."
        )
    found: dict[str, Seems] = {}
    for name, seem in seems.items():
        kind = written.get(name, "ignored")
        left = "left out" if kind == "ignored" else "as you said"
        found[name] = seem if seem.kind == kind else Seems(kind, left)  # type: ignore[arg-type]
    return found


def _modalities(seems: Mapping[str, Seems], asked: Asked) -> dict[str, dict[str, list[str]]]:
    """Columns that were named together are one modality; so are all numbers, categories, dates."""
    found: dict[str, dict[str, list[str]]] = {}
    grouped = {name for _, group in asked.groups for name in group}

    def add(modality: str, columns: Sequence[str]) -> None:
        for name in columns:
            kind = seems[name].kind
            if kind != "ignored":
                found.setdefault(modality, {}).setdefault(kind, []).append(name)

    for kind, group in asked.groups:
        if kind in ("text", "tabular"):
            add(TABLE if kind == "tabular" else modality_name("_".join(group)), group)
        else:
            for name in group:
                add(modality_name(name), [name])
    left = [name for name in seems if name not in grouped]
    texts = [name for name in left if seems[name].kind == "text"]
    together = texts if len(texts) > MOST_TEXTS else []
    add("text", together)
    for name in left:
        if name not in together:
            add(TABLE if seems[name].kind in TABULAR else modality_name(name), [name])
    return found


def modality_name(column: str) -> str:
    """A modality's name: letters that a module may be named with, and no method of its holder."""
    name = re.sub(r"\W+", "_", column).strip("_") or "column"
    return f"{name}_" if hasattr(nn.ModuleDict, name) or name == TABLE else name
