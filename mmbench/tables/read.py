"""A table as a file: CSV, TSV, Parquet or JSON lines. Every mistake is named with its row."""

import codecs
import csv
import hashlib
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path

import pandas as pd

from mmbench.errors import DataUnavailable, UnusableData, did_you_mean
from mmbench.files import read_bounded, size_of_file
from mmbench.tables.findings import Finding, counted, rows_named
from mmbench.tables.notation import COMMA, DECIMAL_COMMAS, WRITTEN
from mmbench.tables.numbers import CODE

SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".parquet": "parquet", ".pq": "parquet",
            ".jsonl": "jsonl", ".ndjson": "jsonl"}  # fmt: skip

SEPARATORS = {",": "','", ";": "';'", "\t": "tabs"}
NUMBER = re.compile(
    rf"(?!{CODE.pattern}\Z)\s*[+-]?(?:\d+\.?\d*|\.\d+|inf(?:inity)?)(?:e[+-]?\d+)?\s*",
    re.IGNORECASE,
)
"""What a cell of a column of numbers looks like; any other makes all cells of it words."""
csv.field_size_limit(sys.maxsize)  # 128 KB is less than a long text


def read_table(path: Path, as_written: Collection[str] = ()) -> tuple[pd.DataFrame, list[Finding]]:
    """Rows from 0 and named columns, with what had to be mended on the way.

    The cells of columns that are ``as_written`` stay words: how their numbers are to be read is
    known.
    """
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise UnusableData(
            f"{path}: the ending {path.suffix!r} is not known. "
            f"Known: {', '.join(SUFFIXES)}; or a task file, .yaml or .toml."
        )
    try:
        content = read_bounded(path, sys.maxsize)
    except OSError as error:
        raise _absent(path, error) from None
    findings: list[Finding] = []
    if kind == "parquet":
        frame = _parquet(content, path)
    elif kind == "jsonl":
        frame = _json_lines(_text(content, findings), path)
    else:
        own = "\t" if kind == "tsv" else ","
        frame = _Separated(_text(content, findings), own, path, findings).frame(as_written)
    if len(frame) == 0:
        raise UnusableData(f"{path} has no rows below its header; there is nothing to learn from.")
    return frame.reset_index(drop=True), findings


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    try:
        size_of_file(path)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _absent(path, error) from None


def _absent(path: Path, error: OSError) -> DataUnavailable:
    near = [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else []
    why = error.strerror or error
    return DataUnavailable(
        f"The table {path} cannot be read: {why}.{did_you_mean(path.name, near)}"
    )


def _text(content: bytes, findings: list[Finding]) -> str:
    """UTF-16 where it says so, else UTF-8; what is neither is Windows-1252, with a finding."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") - 1
        where = "the header" if row < 0 else rows_named([row])
        findings.append(
            Finding(
                "encoding",
                f"not UTF-8 from {where} on (byte 0x{content[error.start]:02x}); the file was read "
                "as Windows-1252. Save it as UTF-8 if letters look wrong",
                "done",
            )
        )
        return content.decode("cp1252", errors="replace")


def _of_excel(text: str) -> tuple[str, str] | None:
    """The separator that a first line, sep=;, names for Excel, and the text with a blank line."""
    found = re.match(r'"?sep=(.)"?\r?\n', text)
    return (found[1], f"\n{text[found.end() :]}") if found else None


class _Separated:
    """A table of rows and separators: looked over cell by cell, then read by pandas."""

    def __init__(self, text: str, own: str, path: Path, findings: list[Finding]) -> None:
        own, text = _of_excel(text) or (own, text)
        self.text, self.path = text.strip("\r\n"), path
        self.above = len(text[: len(text) - len(text.lstrip("\r\n"))].splitlines())
        self.separator = self._separator(own)
        self.header = next(self._rows(self.separator), [])
        _check_names(self.header, path)
        if self.separator != own:
            says = f"the cells are separated by {SEPARATORS[self.separator]} and were read so"
            findings.append(Finding("table", says, "done"))
        self.findings = findings

    def frame(self, as_written: Collection[str]) -> pd.DataFrame:
        numbers, decimal = self._columns_of(_is_number), "."
        if self.separator != "," and (with_commas := self._with_commas(numbers)):
            numbers, decimal = with_commas, ","
            says = "decimal commas, as in 1,5, were read as such"
            self.findings.append(Finding("table", says, "done"))
        self._check_lengths()
        names = [name or f"Unnamed: {i}" for i, name in enumerate(self.header)]
        words = {
            name: str for i, name in enumerate(names) if i not in numbers or name in as_written
        }
        try:
            frame = pd.read_csv(
                io.StringIO(self.text, newline=""), sep=self.separator, decimal=decimal,
                header=0, names=names, usecols=range(len(names)), index_col=False,
                dtype=words,
                na_values=[""], keep_default_na=False, skip_blank_lines=False, low_memory=False,
            )  # fmt: skip
        except ValueError as error:
            raise self._no_table(error) from None
        frame.attrs[DECIMAL_COMMAS] = decimal == ","
        return frame

    def _separator(self, own: str) -> str:
        """The one that the file's ending says, unless the header has no such and another."""
        for separator in (own, *SEPARATORS):
            if len(next(self._rows(separator), [])) > 1:
                return separator
        return own

    def _rows(self, separator: str) -> Iterator[list[str]]:
        rows = csv.reader(io.StringIO(self.text, newline=""), delimiter=separator)
        try:
            for row in rows:
                self.line = self.above + rows.line_num
                yield row
        except csv.Error as error:
            raise self._no_table(error) from None

    def _no_table(self, error: Exception) -> UnusableData:
        return UnusableData(
            f"{self.path} is not a table: {str(error).strip()}. Quote cells that hold the "
            "separator, and close each quote."
        )

    def _with_commas(self, with_points: Collection[int]) -> list[int]:
        """Which columns hold numbers if commas are decimal; none if more columns have points.

        1.234 speaks for neither.
        """
        with_commas = self._columns_of(partial(_is_number, decimal=","))
        either = self._columns_of(lambda cell: not cell or WRITTEN[COMMA].fullmatch(cell))
        commas, points = set(with_commas) - set(with_points), set(with_points) - set(either)
        return with_commas if commas and len(commas) >= len(points) else []

    def _columns_of(self, holds: Callable[[str], object]) -> list[int]:
        """Which columns have such cells and no others."""
        left = list(range(len(self.header)))
        rows = self._rows(self.separator)
        next(rows)
        for row in rows:
            left = [i for i in left if i >= len(row) or holds(row[i])]
        return left

    def _check_lengths(self) -> None:
        """Cells beyond the header would be lost, or shift all others; they may be empty."""
        width, short = len(self.header), []
        for number, row in enumerate(self._rows(self.separator), start=-1):
            if any(row[width:]):
                raise UnusableData(
                    f"{self.path}, line {self.line} has {counted(len(row), 'cell')}, the header "
                    f"has {width:,}. Quote cells that hold the separator, or name all columns."
                )
            if len(row) < width and width > 1:  # of one column, a blank line is an empty cell
                short.append(number)
        if short:
            has = "has" if len(short) == 1 else "have"
            says = f"{rows_named(short)} {has} fewer cells than the header; what lacks is empty"
            each = tuple(rows_named([row]) for row in short)
            self.findings.append(Finding("table", says, "done", each))


def _is_number(cell: str, decimal: str = ".") -> bool:
    """Whether a cell may be in a column of numbers; an empty one may."""
    plain = cell if decimal == "." else cell.replace(".", " ").replace(decimal, ".")
    return not cell or NUMBER.fullmatch(plain) is not None


def _check_names(header: list[str], path: Path) -> None:
    if not any(name.strip() for name in header):
        raise UnusableData(f"{path} is empty: it has neither a header nor rows.")
    twice = {name: n for name, n in Counter(header).items() if n > 1}
    if twice:
        places = {
            name: [str(i + 1) for i, h in enumerate(header) if h == name] for name in sorted(twice)
        }
        which = "; ".join(f"{name!r} is columns {' and '.join(at)}" for name, at in places.items())
        raise UnusableData(f"{path}: two columns have one name: {which}. Rename one of them.")


def _json_lines(text: str, path: Path) -> pd.DataFrame:
    records = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line, object_pairs_hook=partial(_record, line=number))
        except json.JSONDecodeError as error:
            raise UnusableData(f"{path}, line {number} is not JSON: {error}.") from None
        if not isinstance(record, dict):
            raise UnusableData(
                f'{path}, line {number}: each line is an object {{"column": value, …}}.'
            )
        records.append(record)
    return pd.DataFrame.from_records(records)


def _record(pairs: list[tuple[str, object]], line: int) -> dict[str, object]:
    record = dict(pairs)
    if len(record) < len(pairs):
        (name, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise UnusableData(f"Line {line} has two columns of one name: {name!r}. Rename one.")
    return record


def _parquet(content: bytes, path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(io.BytesIO(content))
    except ImportError:
        raise UnusableData(
            f"{path} is Parquet, which pyarrow reads: pip install 'mmbench[parquet]'."
        ) from None
    except (ValueError, OSError) as error:
        raise UnusableData(f"{path} is not a Parquet file: {error}.") from None
    named = [name for name in frame.index.names if name is not None]
    _check_names([str(name) for name in (*named, *frame.columns)], path)
    return (
        frame.reset_index(level=named).rename(columns=str) if named else frame.rename(columns=str)
    )
