"""Several labels in one cell: ``a|b``, ``a; b``, or a list such as ``["a", "b"]``."""

import ast
import json
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from mmbench.tables.findings import Finding, counted, listed, rows_named
from mmbench.tables.numbers import MOST, share_of

SEPARATORS = ("|", ";")
MANY = 0.1
"""Share of cells with a separator from which on it parts labels, and is no sign in one of them."""


def labels_of(text: str, separator: str) -> list[str]:
    """The labels of one cell, empty ones left out."""
    parts = _listed(text)
    if parts is None:
        parts = text.split(separator or "|")
    return [label.strip() for label in parts if label.strip()]


def separator_of(texts: pd.Series) -> str:
    """What stands between the labels of a column; empty if each cell is one label.

    Few cells with a separator have several labels if one of these is a label of another cell too.
    """
    if len(texts) and share_of(texts, lambda text: _listed(text) is not None) >= MOST:
        return SEPARATORS[0]
    for separator in SEPARATORS:
        several = texts.str.contains(separator, regex=False)
        labels = [set(labels_of(text, separator)) for text in texts]
        rows = Counter(label for of_row in labels for label in of_row)
        again = any(
            rows[label] > 1
            for of_row, more in zip(labels, several, strict=True)
            for label in of_row
            if more
        )
        if several.any() and (again or several.mean() >= MANY):
            return separator
    return ""


def rarely_several(labels: list[list[str]], name: str) -> list[Finding]:
    """What is said where so few rows have several labels that it may be a mistake."""
    rows = [row for row, of_row in enumerate(labels) if len(of_row) > 1]
    if not rows or len(rows) >= MANY * len(labels):
        return []
    says = (
        f"only {rows_named(rows)} of {len(labels):,} name several labels, such as "
        f"{listed([repr(label) for label in labels[rows[0]]])}. If each is one label, write it "
        "without the separator or set --target-kind classification"
    )
    return [Finding(name, says)]


def none_of(labels: list[list[str]], name: str) -> list[Finding]:
    """What is said of rows without a label: an empty cell may also stand for unknown ones."""
    rows = [row for row, of_row in enumerate(labels) if not of_row]
    if not rows:
        return []
    says = (
        f"{counted(len(rows), 'row')} without a label, learnt as having none of them: "
        f"{rows_named(rows)}. Leave such rows out if their labels are unknown"
    )
    return [Finding(name, says)]


def seem_several(classes: Sequence[str], name: str) -> list[Finding]:
    """What is said of classes that may be lists: most of what commas part stands in another too."""
    lists = [labels_of(text, ",") for text in classes]
    of = Counter(label for labels in lists for label in set(labels))
    again = sum(count > 1 for count in of.values())
    if max(map(len, lists)) < 2 or again < MOST * len(of):
        return []
    longest = classes[max(range(len(lists)), key=lambda i: len(lists[i]))]
    says = (
        f"{len(classes):,} classes are made of {len(of):,} with commas between them, such as "
        f"{longest!r}. If each is one label: --target-kind multilabel"
    )
    return [Finding(name, says)]


def _listed(text: str) -> list[str] | None:
    """Of a list as JSON or Python write it."""
    if not text.startswith("["):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError):
            continue
        return [str(item) for item in found] if isinstance(found, list) else None
    return None
