"""Which columns make which modality: as it is written down, or by what the columns seem to be."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from torch import nn

from mmbench.errors import InvalidParameter, did_you_mean
from mmbench.tables.kinds import COLUMN_KINDS, ColumnKind, Seems

TABULAR: tuple[ColumnKind, ...] = ("number", "category", "date")
TABLE = "table"
"""The modality of all numbers, categories and dates that are not grouped otherwise."""
READ_KINDS: tuple[ColumnKind, ...] = tuple(kind for kind in COLUMN_KINDS if kind != "ignored")
TAKEN = frozenset(dir(nn.ModuleDict()))
"""What a module of all modalities calls by itself."""
MOST_TEXTS = 3
"""More text columns than that are read as one text."""

Made = Mapping[ColumnKind, Sequence[str]]
"""Of a modality: the columns of each kind that it is made of."""
Modalities = Mapping[str, Made]
"""What each modality is made of, by its name."""


class Read(NamedTuple):
    """A column that a modality reads."""

    column: str
    kind: ColumnKind
    modality: str


def read_columns(modalities: Modalities) -> list[Read]:
    """Every column that is read, modality by modality."""
    return [
        Read(column, kind, modality)
        for modality, made in modalities.items()
        for kind, columns in made.items()
        for column in columns
    ]


def parsed_modalities(text: str) -> Modalities:
    """The ``modalities`` option, read back; ``InvalidParameter`` says what is wrong with it."""
    try:
        modalities: Modalities = json.loads(text)
        told = all(made and all(map(_are_names, made.values())) for made in modalities.values())
    except (json.JSONDecodeError, AttributeError):
        told = False
    if not told:
        raise InvalidParameter(
            f'modalities is JSON such as {{"photo": {{"image": ["photo"]}}}}; got {text!r}. '
            "Leave it out, and it is inferred."
        )
    for modality, made in modalities.items():
        _check_name(modality)
        _check_made(modality, made)
    return modalities


def _check_name(modality: str) -> None:
    """A model keeps a module under it, and files are named after it."""
    if not modality.strip() or set(modality) & set("./\\") or modality in TAKEN:
        raise InvalidParameter(
            f"A modality cannot be named {modality!r}: it takes letters, no dot and no slash, and "
            f"none of a module's own names. Name it {modality_name(modality)!r}."
        )


def _are_names(columns: object) -> bool:
    return isinstance(columns, list) and columns != [] and all(isinstance(c, str) for c in columns)


def _check_made(modality: str, made: Made) -> None:
    """Texts are read as one, fields side by side; anything else is a modality by itself."""
    for kind in made:
        if kind not in READ_KINDS:
            raise InvalidParameter(
                f"The modality {modality!r} has columns of the kind {kind!r}."
                f"{did_you_mean(kind, READ_KINDS)} Kinds: {', '.join(READ_KINDS)}."
            )
    alone = tuple(made) == ("text",) or (len(made) == 1 and len(next(iter(made.values()))) == 1)
    if not alone and not set(made) <= set(TABULAR):
        raise InvalidParameter(
            f"The modality {modality!r} mixes {json.dumps(made, ensure_ascii=False)}. A "
            "modality is one column of files or sequences, or texts, or numbers, categories and "
            "dates. Give the others a modality of their own."
        )


def check_not_read(modalities: Modalities, roles: Mapping[str, str]) -> None:
    """``InvalidParameter`` if a column with a role, such as the target, is among what is read.

    A model that reads what it is to say would learn nothing else.
    """
    for column, _, modality in read_columns(modalities):
        if column in roles:
            raise InvalidParameter(
                f"The modality {modality!r} reads the column {column!r}, which is {roles[column]}. "
                f"Take it out of `modalities`, or leave `modalities` out to have it inferred."
            )


def as_written(seems: Mapping[str, Seems], modalities: Modalities, path: str) -> dict[str, Seems]:
    """Columns of modalities that are given are what those say; the others are not read."""
    written = {column: kind for column, kind, _ in read_columns(modalities)}
    if unknown := [name for name in written if name not in seems]:
        raise InvalidParameter(
            f"{path} has no column {unknown[0]!r}, which is one of modalities."
            f"{did_you_mean(unknown[0], seems)} Columns: {', '.join(seems)}."
        )
    found: dict[str, Seems] = {}
    for name, seem in seems.items():
        kind = written.get(name, "ignored")
        left = "left out" if kind == "ignored" else "as you said"
        found[name] = seem if seem.kind == kind else Seems(kind, left)
    return found


def inferred(seems: Mapping[str, Seems], groups: Sequence[tuple[str, Sequence[str]]]) -> Modalities:
    """Columns that were named together are one modality; so are all numbers, categories, dates.

    ``groups`` are those that were named together, with what they were named as.
    """
    found: dict[str, dict[ColumnKind, list[str]]] = {}
    for modality, columns in (*_named(groups), *_left(seems, groups)):
        while modality in found and modality != TABLE:  # "my photo" and "my_photo" are two columns
            modality += "_"
        for column in columns:
            if (kind := seems[column].kind) != "ignored":
                found.setdefault(modality, {}).setdefault(kind, []).append(column)
    return found


def _named(groups: Sequence[tuple[str, Sequence[str]]]) -> Iterator[tuple[str, Sequence[str]]]:
    for kind, group in groups:
        if kind == "tabular":
            yield TABLE, group
        elif kind == "text":
            yield modality_name("_".join(group)), group
        else:
            yield from ((modality_name(column), [column]) for column in group)


def _left(
    seems: Mapping[str, Seems], groups: Sequence[tuple[str, Sequence[str]]]
) -> Iterator[tuple[str, Sequence[str]]]:
    named = {column for _, group in groups for column in group}
    left = [column for column in seems if column not in named]
    texts = [column for column in left if seems[column].kind == "text"]
    together = texts if len(texts) > MOST_TEXTS else []
    yield "text", together
    for column in left:
        if column not in together:
            tabular = seems[column].kind in TABULAR
            yield TABLE if tabular else modality_name(column), [column]


def modality_name(column: str) -> str:
    """A modality's name: letters that a module may be named with, and no method of its holder."""
    name = re.sub(r"\W+", "_", column).strip("_") or "column"
    return f"{name}_" if name in TAKEN or name == TABLE else name
