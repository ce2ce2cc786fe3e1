"""A row from JSON: every mistake is named by its field."""

import json
import re
from datetime import datetime
from typing import Any

from mmbench.errors import UNSEEN, InvalidSpec
from mmbench.leaderboard.by_class import check_classes
from mmbench.leaderboard.diagnoses import predictions_file
from mmbench.leaderboard.row import SCHEMA, Row
from mmbench.shape import check_near, read_as

MOST_BYTES = 2**25
"""Of a row's file: that of a search of a hundred thousand trials."""
MEASURED = (
    "latency_ms_p50", "latency_ms_p90", "latency_ms_p95", "peak_memory_mib", "parameters",
    "fusion_parameters", "flops", "train_seconds",
)  # fmt: skip
"""What a model costs."""
LEAST, MOST = 1e-9, 1e19
"""Of any cost above 0, in its unit: charts and means are of logarithms and ratios."""
WRITTEN_UNSEEN = re.compile(
    r"(?<!\\)(?:\\\\)*(\\(?:[bf]|r(?!\\n)|u(?:00(?:0[0-8bcef]|7f|[189][0-9a-f])|202[89a-e]|206[6-9])))",
    re.IGNORECASE,
)
"""``UNSEEN`` as JSON writes it, and the end of a line without a new one."""
ROUNDING = 1e-9
"""By how much a mean may leave its interval: equal scores averaged in floating point."""


def row_from_dict(data: Any, where: str = "row") -> Row:
    """Read a row; every mistake is named by its field, after ``where`` (a file's name)."""
    return row_from_text(json.dumps(data), where)


def row_from_text(text: str, where: str) -> Row:
    """Read a row from JSON."""
    if control := _control(text):
        raise InvalidSpec(
            f"{where} holds the control character {control}, by which a name could write anywhere "
            f"on the terminal that shows it, or read as another. Take it out."
        )
    try:
        row = read_as(Row, text, where)
    except InvalidSpec as mistake:
        raise _of_schema(text, where) or mistake from None
    _check_names(row, where)
    _check_single(row.search.get("single"), where)
    _check_figures(row, where)
    check_near(text, where)
    check_classes(row.outputs, row.confusion, row.reliability, where)
    return row


def _control(text: str) -> str | None:
    """The first control character, as JSON writes it.

    Few rows could hold one, and to search all of a row takes longer than to read it.
    """
    plain = text.isascii() and "\x7f" not in text
    if not plain and (found := UNSEEN.search(text.replace("\r", ""))):
        return ascii(found[0])[1:-1]
    if "\\" in text and (found := WRITTEN_UNSEEN.search(text)):
        return found[1]
    return None


def _of_schema(text: str, where: str) -> InvalidSpec | None:
    """A row of another schema has other fields: that is its mistake, not one of them."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):  # also too many digits, or too many brackets
        return None
    if not isinstance(data, dict) or (given := data.get("schema", SCHEMA)) == SCHEMA:
        return None
    return InvalidSpec(f"{where} has schema {given!r}; this mmbench reads schema {SCHEMA}.")


def _check_names(row: Row, where: str) -> None:
    if not re.fullmatch(r"[0-9a-f]{12}", row.id):
        raise InvalidSpec(f"{where}: id is twelve hexadecimal digits; got {row.id!r}.")
    if not re.fullmatch(r"\w[\w.-]*", row.task):
        raise InvalidSpec(f"{where}: task is a name that can name a folder; got {row.task!r}.")
    file = predictions_file(row.id)
    if row.predictions is not None and row.predictions["file"] != file:
        raise InvalidSpec(
            f"{where}: predictions.file is {file}, beside the row; got {row.predictions['file']!r}."
        )
    try:
        zone = datetime.fromisoformat(row.created).tzinfo
    except ValueError:
        raise InvalidSpec(f"{where}: created is an ISO 8601 time; got {row.created!r}.") from None
    if zone is None:  # two such times could not be compared
        raise InvalidSpec(f"{where}: created has no offset from UTC; got {row.created!r}.")


def _check_single(single: Any, where: str) -> None:
    """Boards look up the row that a gain is over."""
    if single is None:
        return
    texts = [single.get(key) for key in ("id", "sha256")] if isinstance(single, dict) else [None]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidSpec(
            f"{where}: search.single is null, or the id and sha256 of a row; got {single!r}."
        )


def _check_figures(row: Row, where: str) -> None:
    for name in MEASURED:
        if (cost := getattr(row, name) or 0) and not LEAST <= cost <= MOST:
            raise InvalidSpec(f"{where}: {name} is 0 or from {LEAST:g} to {MOST:g}; got {cost}.")
    if not row.seeds or len(set(row.seeds)) != len(row.seeds):
        raise InvalidSpec(f"{where}: seeds are one or more different numbers; got {row.seeds}.")
    if row.metric not in row.quality:
        raise InvalidSpec(
            f"{where}: quality lacks the main metric {row.metric!r}; it has "
            f"{', '.join(row.quality) or 'nothing'}."
        )
    for name, quality in row.quality.items():
        low, mean, high = quality["low"], quality["mean"], quality["high"]
        if name == row.metric and (low is None or high is None):
            raise InvalidSpec(f"{where}: quality.{name}: the main metric lacks its interval.")
        if (low is not None and low > mean + ROUNDING) or (
            high is not None and high < mean - ROUNDING
        ):
            raise InvalidSpec(f"{where}: quality.{name}: low ≤ mean ≤ high does not hold.")
        if len(quality["per_seed"]) != len(row.seeds):
            raise InvalidSpec(f"{where}: quality.{name}: per_seed has not one score per seed.")
    if len(row.validation["per_seed"]) != len(row.seeds):
        raise InvalidSpec(f"{where}: validation: per_seed has not one score per seed.")
