"""Which rows have a value of a column, and columns that no row of a part has one of."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mmbench.errors import UnusableData
from mmbench.parts import PARTS
from mmbench.tables.cells import categories
from mmbench.tables.dates import orders, read_dates
from mmbench.tables.fields import numeric
from mmbench.tables.findings import Finding, counted, rows_named
from mmbench.tables.kinds import ColumnKind
from mmbench.tables.modalities import Modalities, Read, read_columns
from mmbench.types import Part

There = Mapping[Read, np.ndarray]
"""(rows,) of each column: whether there is a value that a model can read."""
ROWS: Mapping[Part, str] = {"train": "training", "val": "validation", "test": "test"}


def filled(cells: pd.Series, kind: ColumnKind) -> np.ndarray:
    """(rows,) of a column of texts, numbers, categories or dates."""
    if kind == "number":
        finite: np.ndarray = np.isfinite(numeric(cells))
        return finite
    if kind == "date":
        return read_dates(cells, orders(cells).order).notna().to_numpy(dtype=bool)
    return categories(cells).notna().to_numpy(dtype=bool)


def of_modality(there: There, modality: str) -> np.ndarray:
    """(rows,) whether any column of the modality has a value."""
    columns = [rows for read, rows in there.items() if read.modality == modality]
    any_: np.ndarray = np.logical_or.reduce(columns)
    return any_


def without_value(rows: np.ndarray) -> list[Finding]:
    """What is said of ``rows`` (numbers) that have no value of any column."""
    says = f"{counted(len(rows), 'row')} without a value in any column left out: {rows_named(rows)}"
    each = tuple(rows_named([row]) for row in rows)
    return [Finding("table", says, "done", each)] if len(rows) else []


def learnt(there: There, parts: np.ndarray) -> tuple[Modalities, list[Finding]]:
    """What each modality is made of without columns that no training row has a value of."""
    kept: dict[str, dict[ColumnKind, list[str]]] = {}
    found = []
    for read, rows in there.items():
        absent = [part for part in PARTS if not rows[parts == part].any()]
        says = f"no value in any {' or '.join(ROWS[part] for part in absent)} row"
        if "train" in absent:
            found.append(Finding(read.column, f"{says}: it is not used", "done"))
            continue
        made = kept.setdefault(read.modality, {})
        made.setdefault(read.kind, []).append(read.column)
        found += [Finding(read.column, says)] if absent else []
    return kept, found


def check_left(there: There, modalities: Modalities, parts: np.ndarray) -> np.ndarray:
    """(rows,) the parts without rows that have no value of these modalities."""
    any_ = np.logical_or.reduce([there[read] for read in read_columns(modalities)])
    left = np.where(any_, parts, "")
    for part in PARTS:
        if (parts == part).any() and not (left == part).any():
            names = ", ".join(read.column for read in read_columns(modalities))
            raise UnusableData(
                f"No {ROWS[part]} row has a value of what training rows have: {names}. "
                "Split otherwise, or fill these columns."
            )
    return left
