"""Check JSON data against type hints; the first mistake is named by its place."""

import json
import math
import types
from collections.abc import Collection
from functools import cache
from typing import Any, Never, get_args, get_origin, get_type_hints, is_typeddict

from mmbench.errors import InvalidSpec


def read_json(text: str, where: str) -> Any:
    """Parse strict JSON: NaN and Infinity, which Python would accept, are mistakes."""

    def refuse(constant: str) -> Never:
        raise InvalidSpec(f"{where} holds {constant}, which is not a number; write null instead.")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise InvalidSpec(f"{where} is not JSON: {error}.") from None


def check_fields(data: Any, cls: type, where: str, optional: tuple[str, ...] = ()) -> None:
    """``data`` has exactly the fields of ``cls`` (a dataclass or TypedDict), each of its type."""
    hints = _hints(cls)
    if not isinstance(data, dict):
        raise InvalidSpec(f"{where} is a JSON object; got {_shown(data)}.")
    free = {*optional, *getattr(cls, "__optional_keys__", ())}
    if missing := [k for k in hints if k not in data and k not in free]:
        raise InvalidSpec(f"{where} lacks the field {', '.join(missing)}.")
    if unknown := [k for k in data if k not in hints]:
        raise InvalidSpec(f"{where} has the unknown field {', '.join(map(str, unknown))}.")
    for key, value in data.items():
        if not _is_plain(value, hints[key]):
            check(value, hints[key], f"{where}: {key}")


# asked of the same few hints for every row
_hints, _args = cache(get_type_hints), cache(get_args)
_is_typeddict = cache(is_typeddict)


@cache
def _origin(hint: Any) -> Any:
    return get_origin(hint)


def _is_plain(value: Any, hint: Any) -> bool:
    """A text, a whole or a finite number where one is due: nearly all there is, and soon seen."""
    kind = type(value)
    if kind is float:
        return math.isfinite(value) and (hint is float or hint is Any)
    return (kind is str or kind is int) and (hint is kind or hint is Any)


def _all_plain(values: Collection[Any], hint: Any) -> bool:
    """The same of many values of one kind, such as the scores of all seeds."""
    kinds = set(map(type, values))
    if kinds <= {float, int} and (hint is float or hint is Any):
        return all(map(math.isfinite, values))
    return kinds <= {str} and (hint is str or hint is Any)


def check(value: Any, hint: Any, where: str) -> None:
    """Raise ``InvalidSpec`` unless ``value`` is of the type ``hint``, all numbers finite."""
    if _is_typeddict(hint):
        check_fields(value, hint, where)
    elif _origin(hint) is types.UnionType:
        _check_optional(value, hint, where)
    elif _origin(hint) in (dict, list):
        _check_container(value, hint, where)
    elif hint is Any:
        _check_free(value, where)
    else:
        _check_scalar(value, hint, where)


def _check_optional(value: Any, hint: Any, where: str) -> None:
    if value is not None:
        (inner,) = (option for option in _args(hint) if option is not types.NoneType)
        check(value, inner, where)


def _check_container(value: Any, hint: Any, where: str) -> None:
    container, inner = _origin(hint), _args(hint)[-1]
    if not isinstance(value, container):
        kind = "a JSON object" if container is dict else "a list"
        raise InvalidSpec(f"{where} is {kind}; got {_shown(value)}.")
    if _all_plain(value.values() if container is dict else value, inner):
        return
    for key, item in value.items() if container is dict else enumerate(value):
        if not _is_plain(item, inner):
            check(item, inner, f"{where}.{key}")


def _check_free(value: Any, where: str) -> None:
    if isinstance(value, dict):
        _check_container(value, dict[str, Any], where)
    elif isinstance(value, list):
        _check_container(value, list[Any], where)
    elif isinstance(value, float):
        _check_scalar(value, float, where)
    elif not (value is None or isinstance(value, str | int)):
        raise InvalidSpec(f"{where} is JSON; got {_shown(value)}.")


def _check_scalar(value: Any, hint: Any, where: str) -> None:
    accepted = (int, float) if hint is float else hint
    if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        raise InvalidSpec(f"{where} is of type {hint.__name__}; got {_shown(value)}.")
    if hint is float and not math.isfinite(value):
        raise InvalidSpec(f"{where} is a finite number; got {value!r}.")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
