"""What offers itself as a plugin: installed distributions, and files the user names.

Nothing of a plugin is imported before ``Offer.load``.
"""

import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from typing import Any

from mmbench.installed.switches import named_paths

GROUP = "mmbench"
FILE_VERSION = "file"
"""The version of a plugin that is a file and no distribution."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One plugin as it offers itself."""

    name: str
    distribution: str
    """Its owner: the distribution's name, or the file's."""
    version: str
    target: str
    """``package.module``, ``package.module:attribute``, or the path of a file."""
    source: Distribution | None = field(default=None, compare=False, repr=False)
    """None for a file."""

    @property
    def package(self) -> str:
        """The top-level module or package."""
        return self.target.partition(":")[0].partition(".")[0].strip()

    @property
    def is_file(self) -> bool:
        return self.source is None

    def load(self) -> object:
        """Import it. Whatever its code raises comes out of here."""
        if self.source is None:
            return _import_file(Path(self.target))
        return EntryPoint(self.name, self.target, GROUP).load()

    @property
    def folder(self) -> str:
        """Where its distribution, or the file, lies."""
        place = Path(self.target) if self.source is None else self.source.locate_file("")
        return str(Path(str(place)).parent if self.source is None else place)

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution})"


def offers() -> list[Offer]:
    """All plugins there are, the installed ones first, in a fixed order."""
    found = [offer for dist in distributions() for offer in offered_by(dist)]
    return sorted(found, key=lambda o: (o.name, o.target, o.distribution)) + named_files()


def named_files() -> list[Offer]:
    """The files of ``--plugin``, which workers inherit through the environment."""
    paths = [Path(path).absolute() for path in named_paths()]
    return [Offer(p.stem, p.name, FILE_VERSION, str(p)) for p in dict.fromkeys(paths)]


def distributions() -> list[Distribution]:
    """Those with plugins; of one that is there twice, the one that Python imports."""
    return [dists[0] for dists in by_name().values()]


def by_name() -> dict[str, list[Distribution]]:
    """By name, in the order of the path: all distributions that have plugins."""
    found: dict[str, list[Distribution]] = {}
    for dist in importlib.metadata.distributions():
        if _has_plugins(dist):
            found.setdefault(normalised(dist.name), []).append(dist)
    return {name: _newest_first(dists) for name, dists in found.items()}


def _has_plugins(dist: Distribution) -> bool:
    try:
        text = dist.read_text("entry_points.txt") or ""
        return f"[{GROUP}]" in text and bool(dist.name) and bool(dist.version)
    except Exception:  # noqa: BLE001 - damaged metadata may raise anything, and is no plugin
        return False


def _newest_first(dists: list[Distribution]) -> list[Distribution]:
    """Within one folder, where the order is that of the file system, the newest counts."""
    if len(dists) == 1:
        return dists
    from packaging.version import InvalidVersion, Version

    def order(dist: Distribution) -> tuple[int, bool, Version]:
        try:
            version, known = Version(dist.version), True
        except InvalidVersion:
            version, known = Version("0"), False
        return -folders.index(str(dist.locate_file(""))), known, version

    folders = list(dict.fromkeys(str(dist.locate_file("")) for dist in dists))
    return sorted(dists, key=order, reverse=True)


def offered_by(dist: Distribution) -> Iterator[Offer]:
    for entry in dist.entry_points:
        if entry.group == GROUP:
            yield Offer(entry.name, dist.name, dist.version, entry.value, dist)


def module_file(offer: Offer) -> Path | None:
    """The file of the plugin's module, found without importing the package it is in."""
    if offer.source is None:
        return Path(offer.target)
    top, *inner = offer.target.partition(":")[0].strip().split(".")
    roots, origin = top_level(top)
    if not inner:
        return origin
    for root in roots:
        path = root.joinpath(*inner)
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


def top_level(module: str) -> tuple[list[Path], Path | None]:
    """The folders and the file of a top-level package or module, without importing it."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return [], None
    if spec is None:
        return [], None
    origin = Path(spec.origin) if spec.origin and Path(spec.origin).is_file() else None
    return [Path(folder) for folder in spec.submodule_search_locations or ()], origin


def normalised(name: str) -> str:
    """As packaging compares names: ``My_Plugin`` is ``my-plugin``."""
    return name.lower().replace("_", "-").replace(".", "-")


def contact(offer: Offer) -> str:
    """Whom to tell: the project's page, or its author's address."""
    if offer.source is None:
        return ""
    said: dict[str, Any] = offer.source.metadata.json
    urls = [url.partition(",")[2].strip() for url in said.get("project_url", ()) if "issue" in url]
    known = [*urls, said.get("author_email"), said.get("author")]
    return str(next(filter(None, known), ""))


def _import_file(path: Path) -> object:
    name = f"mmbench_plugin_{path.stem.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file: a plugin's file ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module
