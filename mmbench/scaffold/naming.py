"""All names of a new plugin, derived from one and checked against what exists."""

import builtins
import importlib.metadata
import importlib.util
import keyword
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

from mmbench.catalogue import catalogue
from mmbench.errors import DuplicateName, InvalidParameter, UnknownName, did_you_mean

KINDS = ("dataset", "encoder", "fusion", "head", "objective", "metric", "command")
PREFIX = "mmbench-"
"""A distribution may carry it; the component's own name does not."""
LONGEST = 50
"""Of a name, in characters: file systems and wheels have bounds of their own."""
RUN_BY_TOOLS = re.compile(r"setup|conftest|test_.*")
"""Modules that setuptools or pytest runs on sight."""
BOUND = re.compile(r"^(?:from \S+ )?import (.+)$|^def (\w+)", re.MULTILINE)
"""What a template imports, and the functions that it defines."""
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
    def identifier(self) -> str:
        """What its code is bound to in its module."""
        return self.function if self.kind == "command" else self.class_name

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
    if len(name) > LONGEST:
        raise InvalidParameter(
            f"The name has {len(name)} characters; allowed are {LONGEST}. Say it in fewer words."
        )
    for python in (names.module, names.identifier):
        if keyword.iskeyword(python) or keyword.issoftkeyword(python):
            raise _refused(names, f"{python!r} is a keyword of Python.")
    if RUN_BY_TOOLS.fullmatch(names.module):
        raise _refused(names, f"{names.module}.py is a file that setuptools or pytest runs.")
    _refuse_clashes(names, commands)
    for python in (names.module, names.identifier):
        if python in {*_bound(kind), *dir(builtins)}:
            raise _refused(names, f"{python!r} would hide what its own module uses by that name.")
    return names


def _refused(names: Names, why: str) -> InvalidParameter:
    return InvalidParameter(f"{why} Try {names.kind}-{names.component} or my-{names.component}.")


def _bound(kind: str) -> set[str]:
    """The names that the templates of a kind import or define."""
    folder = resources.files("mmbench.scaffold") / "templates" / kind
    texts = (file.read_text() for file in folder.iterdir() if "module" in file.name)
    found = (match for text in texts for match in BOUND.findall(text))
    return {name.strip() for imported, own in found for name in (own or imported).split(",")}


def _proposal(name: str) -> str:
    """`` Try 'my-fusion'.`` if a name can be made of it."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
    letters = unicodedata.normalize("NFKD", spaced.lower()).encode("ascii", "ignore").decode()
    mended = re.sub(r"[^a-z0-9]+", "-", letters).strip("-0123456789")
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
