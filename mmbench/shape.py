"""JSON text as what its type hints say (pydantic); the first mistake is named by its place."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Never, TypeVar

from mmbench.errors import InvalidSpec

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError
    from pydantic_core import ErrorDetails

Shape = TypeVar("Shape")
MISSING = ("missing", "missing_keyword_only_argument")
UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
LARGEST = 2**63 - 1
"""Whatever counts in 64 bits or floats would fail on an integer beyond."""
NUMERALS = bytes(ord("0") * chr(c).isdecimal() or c * (chr(c) in '."') for c in range(256))
LONG = b"\0" + b"0" * 19
"""Nineteen digits of no fraction and no text, once all digits are 0 and all else is nothing."""
FARTHEST = 1e100
"""Of a score: no float of 32 bits has a square beyond."""
MAY_BE_FARTHER = re.compile(r"[eE]\+?[0-9]{3,}\s*[,\]}]")
"""The end of a number in JSON; one without an exponent is long enough for ``may_be_larger``."""


def read_json(text: str, where: str) -> Any:
    """Parse strict JSON: NaN and Infinity, which Python would accept, are mistakes."""

    def refuse(constant: str) -> Never:
        raise InvalidSpec(f"{where} holds {constant}, which is not a number; write null instead.")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise InvalidSpec(f"{where} is not JSON: {error}.") from None


def read_as(
    shape: type[Shape], text: str, where: str, others: Literal["forbid", "ignore"] = "forbid"
) -> Shape:
    """A dataclass or TypedDict, each field of its type, all numbers finite and in 64 bits.

    Raises ``InvalidSpec``, also for other fields unless they are to be ignored.
    """
    from pydantic import ValidationError

    try:
        adapter = _adapter(shape, others)  # type: ignore[arg-type]  # a class can be hashed
        found: list[Shape] = adapter.validate_json(f"[{text}]")
    except ValidationError as error:
        raise InvalidSpec(_said(error, where)) from None
    if len(found) != 1:
        raise InvalidSpec(f"{where} is one JSON object; it holds {len(found) or 'nothing'}.")
    if "NaN" in text or "Infinity" in text:  # where any value may stand, pydantic takes them
        read_json(text, where)
    if may_be_larger(text):
        for place, number in _beyond(LARGEST, json.loads(text)):
            raise InvalidSpec(
                f"{where}: {place} is an integer of at most 64 bits; got {_shown(number)}."
            )
        _check_near(text, where)
    return found[0]


def may_be_larger(text: str) -> bool:
    """Whether an integer beyond 64 bits may be there.

    A pattern that says so took as long as all else that is done to read a row.
    """
    return LONG in text.encode().translate(NUMERALS)


def said_twice(text: str) -> list[str]:
    """Names that one JSON object has more than once: who reads it sees another value than we do."""
    found: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        found.extend(name for name, n in Counter(name for name, _ in pairs).items() if n > 1)

    json.loads(text, object_pairs_hook=note)
    return list(dict.fromkeys(found))


def check_near(text: str, where: str) -> None:
    """Raise ``InvalidSpec`` for a number in JSON so far from 0 that means and charts overflow."""
    if MAY_BE_FARTHER.search(text):
        _check_near(text, where)


def _check_near(text: str, where: str) -> None:
    for place, number in _beyond(FARTHEST, json.loads(text)):
        raise InvalidSpec(
            f"{where}: {place} lies between -{FARTHEST:g} and {FARTHEST:g}; got {_shown(number)}."
        )


def _beyond(limit: float, value: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """Numbers of the kind of ``limit`` that are larger than it, each with its place."""
    if isinstance(value, type(limit)) and abs(value) > limit:
        yield ".".join(path), value
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _beyond(limit, part, *path, str(key))


@cache
def _adapter(shape: type[Any], others: Literal["forbid", "ignore"]) -> "TypeAdapter[list[Any]]":
    """Of a list, for only that takes the configuration which its items share."""
    from pydantic import ConfigDict, TypeAdapter

    strict = ConfigDict(strict=True, extra=others, allow_inf_nan=False)
    return TypeAdapter(list[shape], config=strict)  # type: ignore[valid-type]


def _said(error: "ValidationError", where: str) -> str:
    first, *others = error.errors(include_url=False)
    *path, field = [str(part) for part in first["loc"][1:]] or [""]
    place = ": ".join([where, ".".join(path)] if path else [where])
    if first["type"] == "json_invalid":
        return f"{where} is not JSON: {first['msg'].removeprefix('Invalid JSON: ')}."
    if first["type"] in MISSING:
        return f"{place} lacks the field {', '.join(_of_kind(MISSING, [first, *others], path))}."
    if first["type"] in UNKNOWN:
        return f"{place} has the unknown field {field}."
    what = first["msg"].removeprefix("Input should be ")
    at = ".".join([*path, field]) if field else ""
    return f"{where}{': ' + at if at else ''} is {what}; got {_shown(first['input'])}."


def _of_kind(
    kind: Sequence[str], errors: "Sequence[ErrorDetails]", path: Sequence[str]
) -> list[str]:
    """The fields of one object that are wrong in the same way."""
    return [
        str(e["loc"][-1])
        for e in errors
        if e["type"] in kind and [str(part) for part in e["loc"][1:-1]] == list(path)
    ]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
