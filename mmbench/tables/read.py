"""A table as a file: CSV, TSV, Parquet or JSON lines. Every mistake is named with its row."""

import csv
import hashlib
import io
import json
from collections import Counter
from functools import partial
from pathlib import Path

import pandas as pd

from mmbench.errors import DataUnavailable, UnusableData, did_you_mean
from mmbench.tables.findings import Finding, rows_named

SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".parquet": "parquet", ".pq": "parquet",
            ".jsonl": "jsonl", ".ndjson": "jsonl"}  # fmt: skip


def read_table(path: Path) -> tuple[pd.DataFrame, list[Finding]]:
    """Rows from 0 and named columns, with what had to be mended on the way."""
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise UnusableData(
            f"{path}: the ending {path.suffix!r} is not known. "
            f"Known: {', '.join(SUFFIXES)}; or a task file, .yaml or .toml."
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _absent(path, error) from None
    findings: list[Finding] = []
    if kind == "parquet":
        frame = _parquet(content, path)
    elif kind == "jsonl":
        frame = _json_lines(_text(content, findings), path)
    else:
        frame = _separated(_text(content, findings), "\t" if kind == "tsv" else ",", path)
    if len(frame) == 0:
        raise UnusableData(f"{path} has no rows below its header; there is nothing to learn from.")
    return frame.reset_index(drop=True), findings


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _absent(path, error) from None


def _absent(path: Path, error: OSError) -> DataUnavailable:
    near = [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else []
    return DataUnavailable(
        f"The table {path} cannot be read: {error.strerror}.{did_you_mean(path.name, near)}"
    )


def _text(content: bytes, findings: list[Finding]) -> str:
    """UTF-8; where it is not, Windows-1252, and the finding says where that began."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") - 1
        where = "the header" if row < 0 else rows_named([row])
        findings.append(
            Finding(
                "encoding",
                f"not UTF-8 from {where} on (byte 0x{content[error.start]:02x}); the file was read "
                "as Windows-1252. Save it as UTF-8 if letters look wrong.",
                "done",
            )
        )
        return content.decode("cp1252", errors="replace")


def _separated(text: str, separator: str, path: Path) -> pd.DataFrame:
    header = next(csv.reader(io.StringIO(text), delimiter=separator), [])
    _check_names(header, path)
    try:
        return pd.read_csv(io.StringIO(text), sep=separator, low_memory=False, index_col=False)
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError) as error:
        raise UnusableData(
            f"{path} is not a table: {str(error).strip()}. Quote cells that hold the separator."
        ) from None


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
    for number, line in enumerate(text.splitlines(), start=1):
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
    _check_names([str(name) for name in frame.columns], path)
    return frame.rename(columns=str)
