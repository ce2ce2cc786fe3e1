"""What a user says of a table, and all of it written out: the parameters of the task ``table``."""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mmbench.errors import InvalidParameter, UnusableData, did_you_mean
from mmbench.tables.cells import strings
from mmbench.tables.kinds import COLUMN_KINDS, Seems, infer_kind
from mmbench.tables.modalities import (
    TABULAR,
    as_written,
    check_not_read,
    inferred,
    parsed_modalities,
    read_columns,
)
from mmbench.tables.splitting import How, parse_split
from mmbench.tables.targets import TARGETS_ARE, infer_target

Together = tuple[tuple[str, tuple[str, ...]], ...]
"""Kinds, and columns that were named together as that."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was said of the columns; all else is inferred."""

    groups: Together = ()
    """Each makes one modality; ``tabular`` leaves the kind of each column to be seen."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """The kind of single columns."""

    def each(self) -> list[tuple[str, str]]:
        """Every column that something was said of, with its kind."""
        together = [(name, kind) for kind, group in self.groups for name in group]
        return [*together, *self.kinds.items()]


NOTHING = Asked()
LEAST = {"image_size": 8, "audio_seconds": 0, "frames": 1}
"""The smallest value of each size."""


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

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            value = getattr(self, name)
            if not least <= value < math.inf:
                raise InvalidParameter(f"{name} is a number from {least} on; got {value!r}.")

    @property
    def folder(self) -> Path:
        return Path(self.root) if self.root else Path(self.path).parent

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "TableOptions":
        """The options that a task's parameters say."""
        return cls(**params)

    def params(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


def complete(
    options: TableOptions, frame: pd.DataFrame, asked: Asked = NOTHING
) -> tuple[TableOptions, dict[str, Seems]]:
    """All that was left open filled in, with what each column seems to be."""
    columns = list(frame.columns)
    asked = replace(asked, groups=_in_columns(asked.groups, columns))
    _check_asked(options, asked, columns)
    kind, separator = options.target_kind, options.separator
    pairs = kind == "retrieval"
    if not kind:
        seems_kind, seems_separator = infer_target(frame[options.target])
        kind = "multilabel" if separator else seems_kind
        separator = separator or seems_separator
    elif kind == "multilabel" and not separator:
        separator = _separator(frame[options.target])
    how = _split(options, columns)
    roles = {options.target: "the target", how.column: "the split"}
    roles = {name: why for name, why in roles.items() if name}
    grouped = {how.group: "the groups of the split"} if how.group else {}
    _check_inputs(asked, {**roles, **grouped})
    seems = _seems(frame, options, asked)
    if options.modalities:
        seems = as_written(seems, parsed_modalities(options.modalities), options.path)
    check_not_read(parsed_modalities(options.modalities or "{}"), roles)
    seems |= {name: Seems("ignored", why) for name, why in {**roles, **grouped}.items()}
    modalities = options.modalities
    if pairs and asked.groups and not modalities:
        seems = _pair_alone(seems, asked)
    if not modalities:
        modalities = json.dumps(inferred(seems, asked.groups), ensure_ascii=False)
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


def may_be_numbers(options: TableOptions, asked: Asked, name: str) -> bool:
    """Whether nothing that was said of a column speaks against it."""
    if name == options.target:
        return options.target_kind in ("", "regression") and not options.separator
    if options.modalities:
        read = read_columns(parsed_modalities(options.modalities))
        return any(column == name and kind == "number" for column, kind, _ in read)
    return dict(asked.each()).get(name, "number") in ("number", "tabular")


def named(text: str, columns: Collection[str]) -> tuple[str, ...]:
    """The columns of ``a,b``; a column may be called just that."""
    if text in columns:
        return (text,)
    return tuple(name.strip() for name in text.split(",") if name.strip())


def mirrored(options: TableOptions) -> tuple[str, ...]:
    """The modalities whose pictures may be mirrored in training: see ``train.flip``."""
    shown = {
        column: modality
        for column, kind, modality in read_columns(parsed_modalities(options.modalities))
        if kind in ("image", "video")
    }
    asked = named(options.mirrored, shown)
    for name in asked:
        if name not in shown:
            raise InvalidParameter(
                f"--mirrored {name}: that is no column of images or videos."
                f"{did_you_mean(name, shown)} Those are: {', '.join(shown) or 'none'}."
            )
    return tuple(shown[name] for name in asked)


def _in_columns(groups: Together, columns: Collection[str]) -> Together:
    return tuple(
        (kind, tuple(name for text in group for name in named(text, columns)))
        for kind, group in groups
    )


def _separator(cells: pd.Series) -> str:
    """Of labels that are said to be several; a comma is too common in one label to be inferred."""
    comma = any("," in text for text in strings(cells).dropna())
    return infer_target(cells)[1] or ("," if comma else "|")


def _split(options: TableOptions, columns: Collection[str]) -> How:
    group = options.split.removeprefix("group=").partition(",")[0]
    if options.target and options.target in (options.split, group):
        raise InvalidParameter(
            f"--split {options.split}: that is the target. Choose another column, or shares as in "
            "0.8/0.1/0.1."
        )
    return parse_split(options.split, [c for c in columns if c != options.target])


def _pair_alone(seems: Mapping[str, Seems], asked: Asked) -> dict[str, Seems]:
    """Where columns are named for retrieval, those are the pair; the others are left aside."""
    pair = {name for name, _ in asked.each()}
    aside = Seems("ignored", "not one of the pair")
    return {name: seem if name in pair else aside for name, seem in seems.items()}


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
    _check_one_target(options, columns)
    for name in (*filter(None, [options.target]), *(name for name, _ in asked.each())):
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


def _check_one_target(options: TableOptions, columns: Collection[str]) -> None:
    names = named(options.target, columns)
    if len(names) > 1 and set(names) <= set(columns):
        raise InvalidParameter(
            f"--target {options.target}: a target is one column. Of several numbers, learn one at "
            "a time; of several labels, write a column with the names of those that hold, as in "
            f"{names[0]}|{names[1]}, and leave these out: --kind {names[0]}=ignored."
        )


def _check_inputs(asked: Asked, roles: Mapping[str, str]) -> None:
    """A column is said to be of one kind, and no input if it has a role."""
    said: dict[str, str] = {}
    for name, kind in asked.each():
        if kind != "ignored" and name in roles:
            raise InvalidParameter(
                f"The column {name!r} is {roles[name]}: it cannot be an input as well, as {kind}. "
                "Leave it out of one of them."
            )
        before = said.setdefault(name, kind)
        if kind != before and not (before == "tabular" and kind in TABULAR):
            raise InvalidParameter(
                f"The column {name!r} is said to be {before} and {kind}. Say one of them."
            )


def _seems(frame: pd.DataFrame, options: TableOptions, asked: Asked) -> dict[str, Seems]:
    set_ = dict(asked.each())
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
