"""What single cells say: as a text, as a category, or nothing at all."""

import json

import numpy as np
import pandas as pd

NO_VALUE = frozenset({"#n/a", "#na", "-nan", "<na>", "n/a", "na", "nan", "none", "null"})
"""Words, in any case, that stand for an empty cell among numbers, dates and files. Among words they
are words: "None" may be a class, and "NA" is Namibia."""


def with_value(cells: pd.Series) -> pd.Series:
    """Cells, those that hold a word for nothing missing too."""
    if pd.api.types.is_numeric_dtype(cells) or pd.api.types.is_datetime64_any_dtype(cells):
        return cells
    return cells.mask(cells.map(_is_word_for_nothing).astype(bool))


def _is_word_for_nothing(cell: object) -> bool:
    return isinstance(cell, str) and cell.strip().lower() in NO_VALUE


def is_empty(cell: object) -> bool:
    """As in a table: nothing, not a number, no time, or blank."""
    if isinstance(cell, str):
        return not cell.strip()
    nothing = cell is None or cell is pd.NA or cell is pd.NaT
    return nothing or (isinstance(cell, float) and np.isnan(cell))


def says_nothing(cell: object) -> bool:
    """Whether it is empty or, among numbers, dates and files, stands for that."""
    return is_empty(cell) or _is_word_for_nothing(cell)


def strings(cells: pd.Series) -> pd.Series:
    """Cells as text; lists of words are joined; missing cells stay missing."""
    return cells.map(as_text, na_action="ignore").astype(object)


def as_text(cell: object) -> str:
    if isinstance(cell, list | tuple | np.ndarray):
        items = [str(item) for item in cell]
        return json.dumps(items) if any("|" in item for item in items) else "|".join(items)
    if isinstance(cell, float) and cell.is_integer():  # whole numbers, where a cell is empty
        return str(int(cell))
    return cell if isinstance(cell, str) else str(cell)


def categories(cells: pd.Series) -> pd.Series:
    """Cells as classes: no blanks around them, 1.0 is 1; a blank cell is of none."""
    texts = strings(cells).map(str.strip, na_action="ignore")
    return texts.mask(texts == "").map(_whole, na_action="ignore")


def _whole(text: str) -> str:
    """The same class is read as 1 or 1.0, by what else its column holds."""
    return text[:-2] if text.endswith(".0") and text[:-2].lstrip("-").isdigit() else text
