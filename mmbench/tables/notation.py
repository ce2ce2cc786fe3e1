"""Numbers as people write them: 1.234,50 and 1,234.50, $5, 9,50 €, 12%.

Which sign parts thousands is told by a whole column, not by a cell, and kept in the recipe.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Literal

import pandas as pd

from mmbench.tables.cells import with_value
from mmbench.tables.findings import Finding, listed
from mmbench.tables.limits import LIMIT, MOST_LIMITS
from mmbench.tables.numbers import BLANKS, MOST, POSTCODE, as_numbers, share_of

Notation = Literal["decimal comma", "decimal point"]
COMMA: Notation = "decimal comma"
POINT: Notation = "decimal point"
DECIMAL_COMMAS = "decimal commas"
"""Of a table's ``attrs``: whether its file has columns whose numbers have such, and no others."""
BARE = re.compile(r"\s*[+-]?\d+\s*")
"""A number in any notation."""

SIGNS = {sign: sign for sign in "$€£¥₹%"} | {
    "USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "CHF": "CHF", "SEK": "SEK",
    "NOK": "NOK", "DKK": "DKK", "PLN": "PLN", "CZK": "CZK", "CNY": "CNY", "AUD": "AUD",
    "CAD": "CAD",
}  # fmt: skip
"""What may stand beside a number, by what it means."""


def _written(thousands: str, decimal: str) -> re.Pattern[str]:
    """No number begins with thousands of zero, and one sign of money or of a share is beside it."""
    number = rf"((?:[1-9]\d{{0,2}}(?:[{thousands}]\d{{3}})+|\d+)(?:{decimal}\d+)?)"
    sign = rf"(?:{'|'.join(map(re.escape, SIGNS))})[{BLANKS}]?"
    return re.compile(rf"({LIMIT.pattern})?\s*([+-]?)(?:{sign})?{number}(?:[{BLANKS}]?{sign})?\s*")


WRITTEN: Mapping[Notation, re.Pattern[str]] = {
    COMMA: _written(rf".{BLANKS}", ","),
    POINT: _written(rf",'’{BLANKS}", r"\."),
}


def notation_of(cells: pd.Series, *, decimal_commas: bool) -> Notation | None:
    """The notation of most numbers of a column; None where it is the plain one, or of no number.

    What can be read in two ways is read as the file's other columns are: 1.234 has a decimal point
    unless they have commas.
    """
    if pd.api.types.is_numeric_dtype(cells):
        return None
    told = with_value(cells).dropna()
    told = told[[isinstance(cell, str) and bool(cell.strip()) for cell in told]]
    open_ = told[[not BARE.fullmatch(cell) for cell in told]]
    if not len(open_) or any(POSTCODE.fullmatch(cell) for cell in told):
        return None
    if share_of(told, LIMIT.match) > MOST_LIMITS:
        return None
    read: dict[Notation | None, int] = {None: int(as_numbers(open_).notna().sum())}
    for notation, pattern in WRITTEN.items():
        read[notation] = sum(pattern.fullmatch(cell) is not None for cell in open_)
    order = (COMMA, None, POINT) if decimal_commas else (None, POINT, COMMA)
    chosen: Notation | None = max(order, key=lambda notation: read[notation])
    others = len(told) - len(open_)
    return chosen if read[chosen] + others >= MOST * len(told) else None


def in_plain(frame: pd.DataFrame, notations: Mapping[str, Notation]) -> pd.DataFrame:
    """The table with numbers in place of the words that say them; other words stay."""
    read = {
        name: frame[name].map(partial(_number, pattern=WRITTEN[notation]), na_action="ignore")
        for name, notation in notations.items()
        if name in frame and not pd.api.types.is_numeric_dtype(frame[name])
    }
    return frame.assign(**{name: cells.infer_objects() for name, cells in read.items()})


def _number(cell: object, pattern: re.Pattern[str]) -> object:
    found = pattern.fullmatch(cell) if isinstance(cell, str) else None
    if found is None:
        return cell
    limit, sign, digits = found.groups()
    comma = pattern is WRITTEN[COMMA]
    whole, _, part = digits.partition("," if comma else ".")
    number = float(f"{sign}{re.sub(r'[^0-9]', '', whole)}.{part or 0}")
    return f"{limit.strip()}{number}" if limit else number


def plain_numbers(
    frame: pd.DataFrame, may: Callable[[str], bool]
) -> tuple[pd.DataFrame, dict[str, Notation], list[Finding]]:
    """The table with columns in another notation read; ``may`` says which can be of numbers."""
    commas = bool(frame.attrs.get(DECIMAL_COMMAS))
    notations = {
        str(name): notation
        for name in frame.columns
        if may(name) and (notation := notation_of(frame[name], decimal_commas=commas))
    }
    plain = in_plain(frame, notations)
    found = [
        said
        for name, notation in notations.items()
        for said in (_said(frame[name], plain[name], notation), *_mixed(frame[name]))
    ]
    return plain, notations, found


def _said(written: pd.Series, read: pd.Series, notation: Notation) -> Finding:
    pairs: Iterable[tuple[object, object]] = zip(written, read, strict=True)
    word, number = max(
        ((w, n) for w, n in pairs if isinstance(w, str) and isinstance(n, float)),
        key=lambda pair: len(str(pair[0])),
    )
    says = f"numbers with a {notation} were read as such: {word!r} is {number:.15g}"
    return Finding(str(written.name), says, "done")


def _mixed(written: pd.Series) -> list[Finding]:
    """What is said of money of several currencies, and of shares among plain numbers."""
    signs = {_sign(cell) for cell in with_value(written).dropna() if isinstance(cell, str)}
    if "%" not in signs:
        signs.discard("")
    if len(signs) < 2:
        return []
    each = listed([sign or "none" for sign in sorted(signs)])
    says = f"signs beside the numbers differ ({each}): the numbers are taken as they are"
    return [Finding(str(written.name), f"{says}, nothing is converted")]


def _sign(cell: str) -> str:
    return next((means for sign, means in SIGNS.items() if sign in cell), "")
