"""The splits of a data set of the library ``datasets``: which are there, and which are used."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbench.errors import DataUnavailable, UnusableData
from mmbench.parts import PARTS
from mmbench.tables.splitting import NAMES
from mmbench.types import Part

log = logging.getLogger(__name__)


def splits_of(path: str, config: str) -> dict[Part, Any]:
    """By part; what has no such name is left aside."""
    found = _loaded(path, config)
    named: dict[str, str] = {}
    for name in found:
        named.setdefault(NAMES.get(name.lower(), ""), name)
    if "train" not in named:
        raise UnusableData(
            f"{path} has no split to train on: there is {', '.join(found)}. Call one train, as in "
            "DatasetDict(train=…); without a validation or test split, rows of it are drawn."
        )
    parts = {part: found[named[part]] for part in PARTS if part in named}
    if aside := [name for name in found if name not in {named[part] for part in parts}]:
        log.warning("%s: splits that are not used: %s", path, ", ".join(aside))
    return parts


def alike(splits: Mapping[Part, Any], path: str) -> list[Any]:
    """What no training row has a column of, no model learns to read."""
    train = splits["train"].column_names
    for part, split in splits.items():
        if aside := [name for name in split.column_names if name not in train]:
            log.warning("%s: not used, since only %s has it: %s", path, part, ", ".join(aside))
    return [
        split.select_columns([c for c in train if c in split.column_names])
        for split in splits.values()
    ]


def _loaded(path: str, config: str) -> Mapping[str, Any]:
    """The splits by their names; what is not split is all for training."""
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
            f"{path} is no data set that the library datasets can read: {_cause(error)}. Give a "
            "folder, or a name with a connection; task.config names one of several in it."
        ) from None
    return {"train": found} if isinstance(found, datasets.Dataset) else found


def _cause(error: BaseException) -> str:
    """What went wrong first, in one line: the library says of it that an error occurred."""
    while error.__cause__:
        error = error.__cause__
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(".! ")
