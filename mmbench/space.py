"""Hyperparameters live in the signature of ``__init__``; this module reads them.

    def __init__(self, dims, *, rank: Annotated[int, Range(1, 32, log=True)] = 4): ...

Keyword-only parameters are hyperparameters. One with a ``Range`` or a ``Choice`` is searched; one
without can be set, not searched. ``When`` makes a parameter exist only for a value of another one.
"""

import inspect
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Protocol, get_args, get_origin, get_type_hints

from mmbench.errors import InvalidParameter, did_you_mean

Value = int | float | str | bool
NOWHERE_ELSE: Mapping[str, Value] = {}
"""Data lie where a spec says."""


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; int or float by the parameter's type."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low <= self.high or (self.log and self.low <= 0):
            raise ValueError(
                f"Range({self.low}, {self.high}{', log=True' if self.log else ''}): the lowest "
                "comes first, and a logarithm takes numbers above zero."
            )

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low} to {self.high}" + (" (log)" if self.log else "")


class Choice:
    """One of a few values."""

    def __init__(self, *options: Value) -> None:
        self.options = options

    def __contains__(self, value: object) -> bool:
        return value in self.options

    def __str__(self) -> str:
        return "one of " + ", ".join(map(repr, self.options))

    __repr__ = __str__


@dataclass(frozen=True, slots=True)
class When:
    """The parameter exists only while another one, written before it, has this value."""

    parameter: str
    equals: Value


@dataclass(frozen=True, slots=True)
class Param:
    """One hyperparameter, as its signature states it."""

    name: str
    type: type
    default: Value
    domain: Range | Choice | None
    when: When | None

    def active(self, chosen: Mapping[str, Value]) -> bool:
        return self.when is None or chosen.get(self.when.parameter) == self.when.equals

    def __str__(self) -> str:
        allowed = f", {self.domain}" if self.domain else ""
        when = f", when {self.when.parameter} is {self.when.equals!r}" if self.when else ""
        return f"{self.name}: {self.type.__name__} = {self.default!r}{allowed}{when}"


class Suggests(Protocol):
    """What is needed of an Optuna trial."""

    def suggest_categorical(self, name: str, choices: Any) -> Any: ...
    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...
    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...


@cache
def params_of(cls: type) -> tuple[Param, ...]:
    """The hyperparameters of ``cls``, in the order they are written."""
    init = cls.__init__  # type: ignore[misc]
    hints = get_type_hints(init, include_extras=True)
    return tuple(
        _param(cls, p.name, hints.get(p.name), p.default)
        for p in inspect.signature(init).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    )


def _param(cls: type, name: str, hint: Any, default: Any) -> Param:
    base, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if base not in (int, float, str, bool) or not isinstance(default, int | float | str):
        raise TypeError(
            f"{cls.__qualname__}: the keyword-only parameter {name!r} needs a type (int, float, "
            f"str or bool) and a default, as in `{name}: Annotated[int, Range(1, 8)] = 2`."
        )
    domain = next((n for n in notes if isinstance(n, Range | Choice)), None)
    when = next((n for n in notes if isinstance(n, When)), None)
    return Param(name, base, default, domain, when)


def suggest(
    cls: type, trial: Suggests, prefix: str, without: Collection[str] = ()
) -> dict[str, Value]:
    """Ask Optuna for every active, searchable parameter of ``cls``, but for those ``without``."""
    chosen: dict[str, Value] = {}
    for param in params_of(cls):
        if param.active(chosen) and param.name not in without:
            chosen[param.name] = _ask(trial, f"{prefix}.{param.name}", param)
    return chosen


def _ask(trial: Suggests, name: str, param: Param) -> Value:
    match param.domain:
        case None:
            return param.default
        case Choice(options=options):
            return trial.suggest_categorical(name, options)  # type: ignore[no-any-return]
        case Range(low, high, log) if param.type is int:
            return trial.suggest_int(name, int(low), int(high), log=log)
        case Range(low, high, log):
            return trial.suggest_float(name, low, high, log=log)


def enqueueable(cls: type, given: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    """The Optuna parameters that make ``suggest`` return ``given``, defaults filled in."""
    full = validate(cls, given, prefix)
    return {
        f"{prefix}.{p.name}": full[p.name] for p in params_of(cls) if p.domain and p.name in full
    }


def validate(cls: type, given: Mapping[str, Value], owner: str) -> dict[str, Value]:
    """``given`` checked against the space of ``cls``: defaults in, inactive parameters out."""
    params = {p.name: p for p in params_of(cls)}
    for name in given:
        if name not in params:
            raise InvalidParameter(
                f"{owner} has no parameter {name!r}.{did_you_mean(name, params)} "
                f"It has: {', '.join(params) or 'none'}."
            )
    full = {name: _checked(p, given.get(name, p.default), owner) for name, p in params.items()}
    return {name: value for name, value in full.items() if params[name].active(full)}


def _checked(param: Param, value: Value, owner: str) -> Value:
    if param.type is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not param.type or (isinstance(value, float) and not math.isfinite(value)):
        raise InvalidParameter(
            f"{owner}.{param.name} takes a {param.type.__name__}; got {value!r}. "
            f"Allowed: {param.domain or 'any ' + param.type.__name__}."
        )
    if param.domain is not None and value not in param.domain:
        raise InvalidParameter(
            f"{owner}.{param.name} = {value!r} is out of range. Allowed: {param.domain}."
        )
    return value
