"""Whether a plugin is let in: all that can be said before it is imported.

It may be switched off, be there twice, or need another mmbench than this one.
"""

import ast
import importlib.metadata
from collections.abc import Iterable
from dataclasses import dataclass

from mmbench.errors import did_you_mean
from mmbench.installed.offers import Offer, by_name, module_file, normalised, offered_by
from mmbench.installed.records import State
from mmbench.installed.switches import DISABLED, ONLY, listed

API_VERSION = 1
"""Of ``mmbench.api``. It rises when a name or a hook is added; nothing is ever taken away."""
API_ATTRIBUTE = "mmbench_api"
"""How a plugin's module says which API it needs: ``mmbench_api = ">=1"``."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a plugin is not loaded, and what to do about it."""

    state: State
    reason: str
    mend: str


def trouble(offer: Offer) -> Trouble | None:
    """What keeps a plugin from being loaded, as far as that is known without importing it."""
    return _switched_off(offer) or _wrong_mmbench(offer) or _wrong_api(offer)


def _switched_off(offer: Offer) -> Trouble | None:
    if offer.source is None:  # named on this very command line
        return None
    if _names(offer, listed(DISABLED)) or "all" in listed(DISABLED):
        reason = f"it is named in {DISABLED}"
        return Trouble("disabled", reason, f"take it out of {DISABLED} to use it")
    if (only := listed(ONLY)) and not _names(offer, only):
        reason = f"{ONLY} names only {', '.join(only)}"
        return Trouble("disabled", reason, f"add {offer.name} to {ONLY} to use it")
    return None


def _names(offer: Offer, names: Iterable[str]) -> bool:
    known = {normalised(offer.name), normalised(offer.distribution)}
    return any(normalised(name) in known for name in names)


def _wrong_mmbench(offer: Offer) -> Trouble | None:
    """What its package requires of mmbench: an installation without dependencies ignores that."""
    requires = offer.source.requires if offer.source else None
    if not requires:
        return None
    from packaging.requirements import InvalidRequirement, Requirement

    here = importlib.metadata.version("mmbench")
    for text in requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        fits = requirement.specifier.contains(here, prereleases=True)
        if normalised(requirement.name) == "mmbench" and applies and not fits:
            return Trouble(
                "incompatible",
                f"it requires {text}; mmbench {here} is installed",
                f"run `uv pip install --upgrade {offer.distribution} mmbench`",
            )
    return None


def _wrong_api(offer: Offer) -> Trouble | None:
    needed = needed_api(offer)
    return None if needed is None else api_trouble(offer, needed)


def api_trouble(offer: Offer, needed: object) -> Trouble | None:
    """Whether this mmbench's API is one that the plugin says it works with."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        if SpecifierSet(str(needed)).contains(str(API_VERSION)):
            return None
    except InvalidSpecifier:
        reason = f"{API_ATTRIBUTE} = {needed!r} cannot be read"
        return Trouble("incompatible", reason, f'write it as {API_ATTRIBUTE} = ">=1"')
    return Trouble(
        "incompatible",
        f"it requires mmbench API {needed}; this mmbench has API {API_VERSION}",
        "run `uv pip install --upgrade mmbench`"
        + ("" if offer.source is None else f", or install another version of {offer.distribution}"),
    )


def needed_api(offer: Offer) -> object | None:
    """The value of ``mmbench_api`` in the plugin's module, read from its text."""
    path = module_file(offer)
    try:
        tree = ast.parse(path.read_bytes()) if path else None
    except (OSError, SyntaxError, ValueError):
        return None  # importing it will say what is wrong
    return next(map(_value, filter(_says_api, tree.body if tree else ())), None)


def _says_api(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == API_ATTRIBUTE for target in node.targets
    )


def _value(node: ast.stmt) -> object | None:
    """The constant that is assigned; what is computed is known after the import."""
    value = node.value if isinstance(node, ast.Assign) else None
    return value.value if isinstance(value, ast.Constant) else None


def twice() -> list[tuple[Offer, Trouble]]:
    """Distributions that are there in a second version, which Python does not import."""
    found = []
    for first, *others in by_name().values():
        for other in others:
            if other.version == first.version:
                continue  # the same one, found through two folders of the path
            reason = (
                f"two versions are installed: {first.version} in {first.locate_file('')}, which "
                f"Python imports, and {other.version} in {other.locate_file('')}"
            )
            mend = (
                f"run `uv pip uninstall {first.name}` until none is left, then install the one "
                f"you want"
            )
            found += [(o, Trouble("name clash", reason, mend)) for o in offered_by(other)]
    return found


def unknown_names(known: Iterable[Offer]) -> list[tuple[str, Trouble]]:
    """Names in ``MMBENCH_PLUGINS`` that no installed plugin has."""
    known = list(known)
    there = sorted({name for o in known for name in (o.name, o.distribution)})
    return [
        (
            name,
            Trouble(
                "failed",
                f"{ONLY} names it, but no such plugin is installed.{did_you_mean(name, there)}",
                f"correct it; or install it, if you know and trust it: `uv pip install {name}`",
            ),
        )
        for name in listed(ONLY)
        if not any(_names(offer, [name]) for offer in known)
    ]
