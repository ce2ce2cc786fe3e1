"""What is to be predicted: classes, labels or a number, as the model reads them."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mmbench.errors import UnusableData
from mmbench.tables.findings import Finding, listed, rows_named
from mmbench.tables.kinds import strings

TargetIs = Literal["classification", "multilabel", "regression"]
TARGETS_ARE: tuple[TargetIs, ...] = get_args(TargetIs)
METRIC = {"classification": "accuracy", "multilabel": "micro-f1", "regression": "r2"}
FEW_NUMBERS = 20
"""Whole numbers with at most so many distinct values are classes."""
SEPARATORS = ("|", ";")
IMBALANCE = 10.0
"""How many times larger than the smallest the largest class is, for it to be said."""


@dataclass(frozen=True, slots=True)
class Target:
    """Of all rows of a table; a row without a target is of no part."""

    kind: TargetIs
    outputs: tuple[str, ...]
    values: Tensor  # (rows,) classes, (rows, labels), or (rows,) numbers as they are given
    known: np.ndarray  # (rows,) bool
    separator: str = ""


def infer_target(cells: pd.Series) -> tuple[TargetIs, str]:
    """The kind of target, and the separator of a multilabel one."""
    there = cells.dropna()
    if len(there) and isinstance(there.iloc[0], list | tuple | np.ndarray):
        return "multilabel", "|"
    if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
        whole = bool((there == there.round()).all())
        few = there.nunique() <= FEW_NUMBERS
        return ("classification" if whole and few else "regression"), ""
    texts = strings(there)
    for separator in SEPARATORS:
        if texts.str.contains(separator, regex=False).any():
            return "multilabel", separator
    return "classification", ""


def read_target(cells: pd.Series, kind: TargetIs, separator: str) -> tuple[Target, list[Finding]]:
    """The target of every row, and what is odd; ``UnusableData`` if it cannot be learnt."""
    name = str(cells.name)
    if kind == "regression":
        return _numbers(cells, name)
    texts = strings(cells).map(str.strip, na_action="ignore")
    texts = texts.mask(texts == "").map(_whole, na_action="ignore")
    target = _labels(texts, separator) if kind == "multilabel" else _classes(texts, name)
    return target, [*_unknown(target.known, name), *_balance(target, name)]


def _whole(text: str) -> str:
    """Classes read as 1.0, because some cell is empty, are 1."""
    return text[:-2] if text.endswith(".0") and text[:-2].lstrip("-").isdigit() else text


def _numbers(cells: pd.Series, name: str) -> tuple[Target, list[Finding]]:
    numbers = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    known = np.isfinite(numbers)
    if not known.any():
        raise UnusableData(f"The target {name!r} holds no number. Set --target-kind, or mend it.")
    if np.ptp(numbers[known]) == 0:
        raise UnusableData(
            f"The target {name!r} is {numbers[known][0]:g} in all rows: there is nothing to learn."
        )
    values = torch.from_numpy(np.where(known, numbers, 0.0)).float()
    return Target("regression", (name,), values, known), _unknown(known, name)


def _classes(texts: pd.Series, name: str) -> Target:
    known = texts.notna().to_numpy()
    outputs = sorted(set(texts[known]), key=_by_number)
    if len(outputs) < 2:
        what = f"is {outputs[0]!r} in all rows" if outputs else "is empty"
        raise UnusableData(f"The target {name!r} {what}: one class cannot be learnt. Add others.")
    place = {label: i for i, label in enumerate(outputs)}
    codes = torch.tensor([place.get(text, 0) for text in texts])
    return Target("classification", tuple(outputs), codes, known)


def _by_number(label: str) -> tuple[float, str]:
    try:
        return float(label), label
    except ValueError:
        return float("inf"), label


def _labels(texts: pd.Series, separator: str) -> Target:
    """An empty cell is a row without a label, not one without a target."""
    each = [
        [label.strip() for label in text.split(separator or "|") if label.strip()]
        if isinstance(text, str)
        else []
        for text in texts
    ]
    outputs = sorted({label for labels in each for label in labels})
    if len(outputs) < 2:
        raise UnusableData(f"The target {texts.name!r} has {len(outputs)} label; it takes two.")
    place = {label: i for i, label in enumerate(outputs)}
    values = torch.zeros(len(each), len(outputs))
    for row, labels in enumerate(each):
        values[row, [place[label] for label in labels]] = 1.0
    return Target(
        "multilabel", tuple(outputs), values, np.ones(len(each), dtype=bool), separator or "|"
    )


def _unknown(known: np.ndarray, name: str) -> list[Finding]:
    rows = np.flatnonzero(~known)
    if not len(rows):
        return []
    have = "row has" if len(rows) == 1 else "rows have"
    return [
        Finding(
            name,
            f"{len(rows):,} {have} no usable target (empty, not a number, or infinite) and "
            f"{'is' if len(rows) == 1 else 'are'} left out: {rows_named(rows)}",
            "done",
            tuple(rows_named([row]) for row in rows),
        )
    ]


def _balance(target: Target, name: str) -> list[Finding]:
    if target.kind != "classification":
        return []
    codes = target.values.numpy()[target.known]
    sizes = np.bincount(codes, minlength=len(target.outputs))
    found = []
    if len(alone := np.flatnonzero(sizes == 1)):
        at = [int(np.flatnonzero((target.values.numpy() == c) & target.known)[0]) for c in alone]
        pairs = zip(alone, at, strict=True)
        which = listed([f"{target.outputs[c]!r} ({rows_named([row])})" for c, row in pairs])
        found.append(
            Finding(
                name,
                f"{len(alone):,} of {len(sizes):,} classes have one row only: {which}. Such a row "
                "is trained on and never tested; merge the class with another, or add rows.",
            )
        )
    if sizes.max() > IMBALANCE * sizes.min():
        big, small = int(sizes.argmax()), int(sizes.argmin())
        found.append(
            Finding(
                name,
                f"classes are uneven: {target.outputs[big]!r} has {sizes[big]:,} rows "
                f"({sizes[big] / sizes.sum():.0%}), {target.outputs[small]!r} has "
                f"{sizes[small]:,}. Look at balanced accuracy too; "
                "`--objective balanced-softmax` counters it.",
            )
        )
    return found
