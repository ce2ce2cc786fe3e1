"""What a plugin brings, checked before any of it is taken in: all of it or nothing."""

import inspect
import re
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, get_args

from mmbench import hookspecs
from mmbench.contracts import (
    Capabilities,
    Dataset,
    Encoder,
    Fusion,
    Head,
    Metric,
    Objective,
)
from mmbench.errors import DuplicateName, did_you_mean
from mmbench.installed.offers import GROUP
from mmbench.plugins.collection import BUILTIN, Plugins
from mmbench.registry import Registry
from mmbench.space import validate
from mmbench.types import ALL_TARGETS, Kind

BASES: dict[str, type] = {
    "dataset": Dataset, "encoder": Encoder, "fusion": Fusion, "head": Head,
    "objective": Objective, "metric": Metric,
}  # fmt: skip
HOOKS = tuple(name for name, value in vars(hookspecs).items() if hasattr(value, f"{GROUP}_spec"))
LISTENING = tuple(hook for hook in HOOKS if not hook.startswith("register_"))
"""Those that bring nothing, and are told of trials."""
NAME = re.compile(r"\w[\w.-]*")
OFFERED = ("always", "gpu", "named", "baseline")


def bring(plugins: Plugins, module: Any, name: str, owner: str) -> None:
    """Register all of a plugin's components and hooks; a clash half-way leaves nothing behind.

    Raises ``DuplicateName`` for a clash, ``TypeError`` for what is no plugin, and whatever the
    plugin's own hooks raise.
    """
    if owner != BUILTIN:
        _check_hooks(module)
    manager = plugins.manager
    if manager.is_registered(module):
        other = manager.get_name(module)
        raise DuplicateName(f"{name} is the same module as the plugin {other}.")
    try:
        manager.register(module, name)  # refuses arguments that a hook does not have
        found = [(r, cls) for r in plugins.registries for cls in _components(module, r, owner)]
        for registry, cls in found:
            registry.check_free(cls, owner)
    except BaseException:
        if manager.is_registered(module):
            manager.unregister(module)
        raise
    for registry, cls in found:
        registry.add(cls, owner)


def _check_hooks(module: Any) -> None:
    """Each function marked as a hook is one, and each that is named like a hook is marked."""
    routines = [(n, v) for n in dir(module) if inspect.isroutine(v := getattr(module, n, None))]
    marked = {name for name, value in routines if hasattr(value, f"{GROUP}_impl")}
    for name in sorted(marked - set(HOOKS)):
        raise TypeError(
            f"{name!r} is not a hook of mmbench.{did_you_mean(name, HOOKS)} "
            f"Hooks: {', '.join(HOOKS)}."
        )
    for name in HOOKS:
        if name not in marked and callable(getattr(module, name, None)):
            raise TypeError(f"{name}() is not marked with @hookimpl, so it is never called.")
    if not marked:
        what = module.__name__ if isinstance(module, ModuleType) else repr(module)
        near = [did_you_mean(n, HOOKS) for n in vars(module)] if hasattr(module, "__dict__") else []
        raise TypeError(
            f"{what} implements no hook.{next(filter(None, near), '')} Mark with @hookimpl one or "
            f"more of: {', '.join(HOOKS)}."
        )


def _components(module: Any, registry: Registry[Any], owner: str) -> list[type]:
    """The classes of one kind that a plugin registers, each once."""
    hook: Callable[[], Any] | None = getattr(module, f"register_{registry.kind}s", None)
    if hook is None:
        return []
    given = hook()
    if not isinstance(given, Iterable):
        raise TypeError(
            f"register_{registry.kind}s() must return a list of classes; got {given!r}."
        )
    classes = list(given)
    if owner != BUILTIN:
        for cls in classes:
            _check_class(registry.kind, cls)
        names = [cls.name for cls in classes]
        if again := sorted({name for name in names if names.count(name) > 1}):
            raise DuplicateName(f"{registry.kind} {again[0]!r} is registered twice by {owner}.")
    return classes


def _check_class(kind: str, given: Any) -> None:
    """What would otherwise fail much later, in a search that has nothing to do with it."""
    base = BASES[kind]
    if not (inspect.isclass(given) and issubclass(given, base)):
        raise TypeError(
            f"register_{kind}s() must return classes derived from mmbench.api.{base.__name__}; "
            f"got {given!r}."
        )
    cls: Any = given
    where, name = cls.__qualname__, getattr(cls, "name", None)
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise TypeError(
            f'{where} needs a class attribute `name = "…"` of letters, digits, "-", "_" and "."; '
            f"it has {name!r}."
        )
    if abstract := sorted(getattr(cls, "__abstractmethods__", ())):
        raise TypeError(f"{where} must define {', '.join(abstract)}.")
    if kind != "dataset" and _takes_any(cls):
        raise TypeError(
            f"{where}: **keywords hide the hyperparameters; write each out, with its type and "
            "default."
        )
    validate(cls, {}, f"{kind} {name}")
    for attribute, sound, wanted in PROMISES.get(kind, ()):
        value = getattr(cls, attribute, None)
        if not sound(value):
            raise TypeError(f"{where}.{attribute} is {wanted}; it is {value!r}.")


def _takes_any(cls: type) -> bool:
    parameters = inspect.signature(cls).parameters.values()
    return any(p.kind is p.VAR_KEYWORD for p in parameters)


def _targets(value: Any) -> bool:
    return isinstance(value, frozenset) and bool(value)


Promise = tuple[str, Callable[[Any], bool], str]
_OFFERED: Promise = ("offered", lambda v: v in OFFERED, f"one of {', '.join(OFFERED)}")
_TARGETS: Promise = (
    "targets", _targets, f"a frozenset of what it is for, such as {', '.join(sorted(ALL_TARGETS))}",
)  # fmt: skip
PROMISES: dict[str, tuple[Promise, ...]] = {
    "encoder": (
        ("accepts", lambda v: v in get_args(Kind), f"one of {', '.join(get_args(Kind))}"),
        ("emits_sequences", lambda v: isinstance(v, bool), "True or False"),
        _OFFERED,
    ),
    "fusion": (
        ("capabilities", lambda v: isinstance(v, Capabilities), "Capabilities(…)"),
        _OFFERED,
    ),
    "head": (_OFFERED,),
    "objective": (_TARGETS, _OFFERED),
    "metric": (_TARGETS, ("higher_is_better", lambda v: isinstance(v, bool), "True or False")),
}
"""By kind, what a class must say of itself."""
