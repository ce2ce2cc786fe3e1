"""A task file, YAML or TOML: what is to be learnt from which table, to keep and to share.

    schema: 1
    name: pets                # optional; of boards and studies
    data: pets.csv            # from the task file's folder
    target: price
    split: group=owner        # optional, as --split takes it
    columns: {breed: category, notes: ignored}              # optional; the rest is inferred
    modalities: {text: {text: [title, description]}, …}     # optional; instead of `columns`

and any other option of a table: target_kind, separator, root, image_size, audio_seconds, frames,
seed.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from mmbench.errors import (
    DataUnavailable,
    InvalidParameter,
    InvalidSpec,
    MMBenchError,
    did_you_mean,
)
from mmbench.tables.endings import located
from mmbench.tables.modalities import parsed_modalities
from mmbench.tables.options import Asked, TableOptions

SCHEMA = 1
SUFFIXES = frozenset({".yaml", ".yml", ".toml"})
OWN = ("schema", "name", "data", "columns", "modalities")
OPTIONS = {f.name: type(f.default) for f in fields(TableOptions) if f.name != "modalities"}
"""The options of a table by name, with the type of each."""


def is_task_file(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def read_task_file(path: Path) -> tuple[str, TableOptions, Asked]:
    """The task's name, its options and what it says of single columns."""
    data = _document(path)
    known = [*OWN, *(name for name in OPTIONS if name not in ("path", "sha256"))]
    for key in data:
        if key not in known:
            raise InvalidSpec(
                f"{path} has the key {key!r}, which is none.{did_you_mean(key, known)} "
                f"Keys: {', '.join(known)}."
            )
    if data.get("schema") != SCHEMA:
        raise InvalidSpec(
            f"{path} has schema {data.get('schema')!r}; this mmbench reads `schema: {SCHEMA}`."
        )
    if not isinstance(data.get("data"), str):
        raise InvalidSpec(f"{path} lacks `data:`, the table, as a path from the file's folder.")
    set_ = {name: _typed(path, name, data[name]) for name in OPTIONS if name in data}
    if "root" in set_:
        set_["root"] = str(located(path.parent, set_["root"]))
    set_["path"] = str(located(path.parent, data["data"]))
    if modalities := data.get("modalities"):
        set_["modalities"] = json.dumps(modalities, ensure_ascii=False)
    kinds = _kinds(path, data)
    try:
        options = TableOptions(**set_)
        parsed_modalities(options.modalities or "{}")
    except InvalidParameter as error:
        raise InvalidSpec(f"{path}: {error}") from None
    return str(data.get("name", path.stem)), options, Asked(kinds=kinds)


def _kinds(path: Path, data: Mapping[str, Any]) -> dict[str, str]:
    kinds = data.get("columns") or {}
    if not isinstance(kinds, Mapping):
        raise InvalidSpec(f"{path}: `columns` maps columns to kinds; got {kinds!r}.")
    if kinds and data.get("modalities"):
        raise InvalidSpec(
            f"{path} has `columns` and `modalities`. The latter say the kind of every column that "
            "is read: put the columns there, or leave `modalities` out."
        )
    return {str(column): str(kind) for column, kind in kinds.items()}


def check_writable(path: Path) -> None:
    """``InvalidParameter`` unless a task file may be written there: nobody's data are lost."""
    if not is_task_file(path):
        raise InvalidParameter(
            f"--write {path}: a task file ends in {', '.join(sorted(SUFFIXES))}. Name one, such as "
            f"{path.with_suffix('.yaml').name}."
        )
    if path.exists() and not _is_one(path):
        raise InvalidParameter(
            f"--write {path}: that is there already, and is no task file. Choose another name."
        )


def _is_one(path: Path) -> bool:
    try:
        read_task_file(path)
    except MMBenchError:
        return False
    return True


def write_task_file(name: str, options: TableOptions, beside: Path) -> str:
    """The text of a task file that says all of ``options``, to lie at ``beside``: YAML or TOML."""
    default = TableOptions()
    said = {
        key: getattr(options, key)
        for key in OPTIONS
        if key not in ("path", "sha256") and getattr(options, key) != getattr(default, key)
    }
    if options.root and not Path(options.root).is_absolute():
        said["root"] = os.path.relpath(options.root, beside.parent)
    document = {
        "schema": SCHEMA,
        "name": name,
        "data": os.path.relpath(options.path, beside.parent),
        **said,
        "modalities": json.loads(options.modalities),
    }
    return _toml(document) if beside.suffix.lower() == ".toml" else _yaml(document)


def _yaml(document: Mapping[str, Any]) -> str:
    import yaml

    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    return text


def _toml(document: Mapping[str, Any]) -> str:
    """Keys with plain values, then a table for each modality."""
    lines = [f"{key} = {_in_toml(v)}" for key, v in document.items() if key != "modalities"]
    for modality, made in document["modalities"].items():
        lines += ["", f"[modalities.{_in_toml(modality)}]"]
        lines += [f"{kind} = {_in_toml(columns)}" for kind, columns in made.items()]
    return "\n".join(lines) + "\n"


def _in_toml(value: Any) -> str:
    """JSON's numbers, strings and lists are TOML's as well, but for one sign."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _document(path: Path) -> dict[str, Any]:
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        found = tomllib.loads(text) if path.suffix.lower() == ".toml" else _read_yaml(text)
    except OSError as error:
        raise DataUnavailable(f"The task file {path} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise InvalidSpec(f"{path} is no {path.suffix[1:].upper()}: {error}.") from None
    if not isinstance(found, dict):
        raise InvalidSpec(f"{path} maps keys to values, such as `target: price`; got {found!r}.")
    return found


def _read_yaml(text: str) -> Any:
    """As TOML has it: a key that stands twice is an error, not the latter of the two."""
    import yaml

    class OnceEach(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyYAML's
            seen: set[str] = set()
            for key, _ in node.value:
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} stands twice", key.start_mark
                    )
                seen |= {key.value} if isinstance(key.value, str) else set()
            return super().construct_mapping(node, deep)

    loader = OnceEach(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _typed(path: Path, name: str, value: Any) -> Any:
    wanted = OPTIONS[name]
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted:
        raise InvalidSpec(f"{path}: `{name}` takes a {wanted.__name__}; got {value!r}.")
    return value
