"""All names of a new plugin, derived from one and checked against what exists."""

import importlib.metadata
import importlib.util
import keyword
import re
from collections.abc import Iterable
from dataclasses import dataclass

from mmbench.catalogue import catalogue
from mmbench.errors import DuplicateName, InvalidParameter, UnknownName, did_you_mean

KINDS = ("dataset", "encoder", "fusion", "head", "objective", "metric", "command")
PREFIX = "mmbench-"
"""A distribution may carry it; the component's own name does not."""
PATTERN = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Names:
    """What a new package, its module, its class and its component are called."""

    kind: str
    distribution: str

    @property
    def component(self) -> str:
        return self.distribution.removeprefix(PREFIX)

    @property
    def module(self) -> str:
        return self.distribution.replace("-", "_")

    @property
    def function(self) -> str:
        return self.component.replace("-", "_")

    @property
    def class_name(self) -> str:
        return "".join(word.capitalize() for word in self.component.split("-"))

    @property
    def article(self) -> str:
        return "an" if self.kind[0] in "eo" else "a"


def names_of(kind: str, name: str, commands: Iterable[str] = ()) -> Names:
    """The names for a new plugin; ``commands`` are those there are already.

    Raises an error that says what is wrong with the name given, and what would do.
    """
    if kind not in KINDS:
        raise UnknownName(
            f"There is no kind {kind!r}.{did_you_mean(kind, KINDS)} Kinds: {', '.join(KINDS)}."
        )
    names = Names(kind, name)
    if not PATTERN.fullmatch(name) or not PATTERN.fullmatch(names.component):
        raise InvalidParameter(
            f"{name!r} is no name for a plugin.{_proposal(name)} Allowed: lower-case words of "
            f"letters and digits joined by single hyphens, the first character a letter."
        )
    for python in (names.module, names.function):
        if keyword.iskeyword(python) or keyword.issoftkeyword(python):
            raise InvalidParameter(
                f"{python!r} is a keyword of Python. Try {kind}-{name} or my-{name}."
            )
    _refuse_clashes(names, commands)
    return names


def _proposal(name: str) -> str:
    """`` Try 'my-fusion'.`` if a name can be made of it."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
    mended = re.sub(r"[^a-z0-9]+", "-", spaced.lower()).strip("-0123456789")
    return f" Try {mended!r}." if PATTERN.fullmatch(mended) else ""


def _refuse_clashes(names: Names, commands: Iterable[str]) -> None:
    """No component, command, distribution or module may have the name already."""
    component, kind = names.component, names.kind
    if kind == "command":
        owners = dict.fromkeys(commands, "mmbench")
    else:
        owners = {c["name"]: c["owner"] for c in catalogue()["components"][kind]}
    if component in owners:
        raise DuplicateName(
            f"There is a {kind} {component!r} already, from {owners[component]}. Choose another "
            f"name, such as my-{component}."
        )
    try:
        version = importlib.metadata.version(names.distribution)
    except importlib.metadata.PackageNotFoundError:
        pass
    else:
        raise DuplicateName(
            f"A package {names.distribution} {version} is installed already. Choose another name, "
            f"or uninstall it."
        )
    if importlib.util.find_spec(names.module) is not None:
        raise DuplicateName(
            f"There is a Python module {names.module!r} already: one would hide the other. Choose "
            f"another name, such as {PREFIX}{component}."
        )
