"""What is to be predicted: classes, labels, a number, words or pairs, as the model reads them."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mmbench.errors import UnusableData
from mmbench.parts import PARTS
from mmbench.sequences import END
from mmbench.tables.cells import categories, strings, with_value
from mmbench.tables.classes import alike, ordered, uneven
from mmbench.tables.copies import NONE, Groups
from mmbench.tables.findings import Finding, counted, rows_named
from mmbench.tables.labels import labels_of, none_of, rarely_several, seem_several, separator_of
from mmbench.tables.numbers import are_numbers, as_numbers
from mmbench.tables.odd import far_off, limits_said
from mmbench.words import words

TargetIs = Literal["classification", "multilabel", "regression", "sequence", "retrieval"]
TARGETS_ARE: tuple[TargetIs, ...] = get_args(TargetIs)
METRIC = {
    "classification": "accuracy",
    "multilabel": "micro-f1",
    "regression": "r2",
    "sequence": "token-accuracy",
    "retrieval": "mean-recall",
}
MOST_WORDS, MOST_TOKENS = 1000, 32
"""Of a sequence: distinct words that are told apart, and words of one answer, its end included."""
FEW_NUMBERS = 20
"""Whole numbers with at most so many distinct values are classes."""


@dataclass(frozen=True, slots=True)
class Target:
    """Of all rows of a table; a row without a target is of no part."""

    kind: TargetIs
    outputs: tuple[str, ...]
    values: Tensor
    """(rows,) classes, (rows, labels), (rows,) numbers as they are given in float64, (rows, length)
    words, or (rows, 2) items of a pair."""
    known: np.ndarray  # (rows,) bool
    separator: str = ""
    length: int = 1


def infer_target(cells: pd.Series) -> tuple[TargetIs, str]:
    """The kind of target, and the separator of a multilabel one."""
    there = cells.dropna()
    if len(there) and isinstance(there.iloc[0], list | tuple | np.ndarray):
        return "multilabel", "|"
    if pd.api.types.is_timedelta64_dtype(cells):
        return "regression", ""
    if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
        return _of_numbers(there), ""
    texts = strings(there)
    if are_numbers(texts):
        return _of_numbers(as_numbers(texts).dropna()), ""
    separator = separator_of(texts.map(str.strip))
    return ("multilabel" if separator else "classification"), separator


def _of_numbers(numbers: pd.Series) -> TargetIs:
    whole = bool((numbers == numbers.round()).all())
    return "classification" if whole and numbers.nunique() <= FEW_NUMBERS else "regression"


def read_target(cells: pd.Series, kind: TargetIs, separator: str) -> tuple[Target, list[Finding]]:
    """The target of every row, and what is odd; ``UnusableData`` if it cannot be learnt."""
    name = str(cells.name)
    if kind == "regression":
        return _numbers(cells, name)
    texts = categories(cells)
    if are_numbers(texts):
        texts = with_value(texts)
    if kind == "sequence":
        target, found = _sequences(texts, name)
        return target, [*_unknown(target.known, name), *found]
    if kind == "multilabel":
        target, found = _labels(texts, separator)
    else:
        target = _classes(texts, name)
        codes = target.values.numpy()
        found = [
            *_unknown(target.known, name),
            *seem_several(target.outputs, name),
            *uneven(codes, target.known, target.outputs, name),
            *ordered(target.outputs, name),
        ]
    return target, [*found, *alike(target.outputs, name)]


def _numbers(cells: pd.Series, name: str) -> tuple[Target, list[Finding]]:
    numbers = as_numbers(cells).to_numpy(dtype=float, na_value=np.nan)
    known = np.isfinite(numbers)
    if not known.any():
        raise UnusableData(
            f"The target {name!r} holds no number{_such_as(cells)}. Write numbers as 1234.5, or "
            "set another --target-kind."
        )
    if np.ptp(numbers[known]) == 0:
        raise UnusableData(
            f"The target {name!r} is {numbers[known][0]:g} in all rows: there is nothing to learn."
        )
    values = torch.from_numpy(np.where(known, numbers, 0.0))
    words = strings(cells)[~known].dropna()
    found = [*limits_said(cells), *far_off(cells), *_unknown(known, name, words)]
    return Target("regression", (name,), values, known), found


def _such_as(cells: pd.Series) -> str:
    filled = strings(cells).dropna()
    return f", as {filled.iloc[0]!r} is none" if len(filled) else ""


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
        number = float(label)
    except ValueError:
        number = math.inf
    return (number if math.isfinite(number) else math.inf), label  # "nan" is before nothing


def _labels(texts: pd.Series, separator: str) -> tuple[Target, list[Finding]]:
    """An empty cell is a row without a label, not one without a target."""
    each = [labels_of(text, separator) if isinstance(text, str) else [] for text in texts]
    outputs = sorted({label for labels in each for label in labels})
    if len(outputs) < 2:
        raise UnusableData(f"The target {texts.name!r} has {len(outputs)} label; it takes two.")
    if set(outputs) == {"0", "1"} and any(len(set(labels)) < len(labels) for labels in each):
        raise UnusableData(
            f"The target {texts.name!r} holds lists of 0 and 1, such as {texts.dropna().iloc[0]}, "
            "which name no label. Write the names of those that hold, as in red|round."
        )
    place = {label: i for i, label in enumerate(outputs)}
    values = torch.zeros(len(each), len(outputs))
    for row, labels in enumerate(each):
        values[row, [place[label] for label in labels]] = 1.0
    known = np.ones(len(each), dtype=bool)
    target = Target("multilabel", tuple(outputs), values, known, separator or "|")
    return target, [*none_of(each, str(texts.name)), *rarely_several(each, str(texts.name))]


def _sequences(texts: pd.Series, name: str) -> tuple[Target, list[Finding]]:
    """The commonest words are told apart; others are left out of an answer, long ones are cut."""
    known = texts.notna().to_numpy()
    answers = [words(text) if isinstance(text, str) else [] for text in texts]
    counts = Counter(word for answer in answers for word in answer)
    if len(counts) < 2:
        raise UnusableData(f"The target {name!r} has {counted(len(counts), 'word')}; it takes two.")
    kept = sorted(sorted(counts, key=lambda word: (-counts[word], word))[:MOST_WORDS])
    place = {word: i for i, word in enumerate(kept, start=END + 1)}
    each = [[place[word] for word in answer if word in place] for answer in answers]
    length = min(max(map(len, each)) + 1, MOST_TOKENS)
    values = torch.full((len(each), length), END)
    for row, tokens in enumerate(each):
        values[row, : min(len(tokens), length - 1)] = torch.tensor(tokens[: length - 1])
    target = Target("sequence", ("", *kept), values, known, length=length)
    return target, _changed(each, len(counts) - len(kept), length, name)


def _changed(each: Sequence[Sequence[int]], rare: int, length: int, name: str) -> list[Finding]:
    says = []
    if rare:
        says.append(f"{counted(rare, 'rare word')} left out: the {MOST_WORDS:,} commonest are told")
    if cut := sum(len(tokens) >= length for tokens in each):
        says.append(f"{counted(cut, 'answer')} cut to {length - 1} words")
    return [Finding(name, text, "done") for text in says]


def pair_target(one: Groups, other: Groups) -> tuple[Target, list[Finding]]:
    """Which item each side of a row shows, ``NONE`` for none: retrieval finds one by the other."""
    known = (one != NONE) & (other != NONE)
    if not known.any():
        raise UnusableData("No row has both sides of a pair: there is nothing to retrieve.")
    items = torch.from_numpy(np.stack([one, other], axis=1))
    return Target("retrieval", (), items, known), _left_out(known, "pairs", "only one side")


def standardised(target: Target, parts: np.ndarray) -> tuple[Target, tuple[float, float]]:
    """A regression target with mean 0 and standard deviation 1 over the training rows, and both."""
    if target.kind != "regression":
        return target, (0.0, 1.0)
    train = target.values[torch.from_numpy(parts == PARTS[0])]
    mean, std = float(train.mean()), float(train.std(correction=0))
    if std == 0:
        raise UnusableData(
            f"The target {target.outputs[0]!r} is {mean:g} in all training rows: there is nothing "
            "to learn. Split otherwise, or add rows."
        )
    values = ((target.values - mean) / std).float()
    return replace(target, values=values), (mean, std)


def _unknown(known: np.ndarray, name: str, words: Iterable[str] = ()) -> list[Finding]:
    """``words`` are those that were found in place of a number."""
    such = "".join(f", such as {word!r}" for word in sorted(set(words))[:1])
    return _left_out(known, name, f"no usable target (empty, not a number{such}, or infinite)")


def _left_out(known: np.ndarray, name: str, has: str) -> list[Finding]:
    rows = np.flatnonzero(~known)
    if not len(rows):
        return []
    verbs = ("has", "is") if len(rows) == 1 else ("have", "are")
    return [
        Finding(
            name,
            f"{counted(len(rows), 'row')} {verbs[0]} {has} and {verbs[1]} left out: "
            f"{rows_named(rows)}",
            "done",
            tuple(rows_named([row]) for row in rows),
        )
    ]
