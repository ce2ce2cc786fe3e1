"""A hash of a plugin's files: what ran, whatever version it says it is."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import Distribution, PackagePath
from pathlib import Path

from mmbench.installed.offers import Offer, distributions, offered_by, top_level

IGNORED = frozenset({"__pycache__"})


def content_sha256(offers: Iterable[Offer]) -> str:
    """SHA-256 over the names and bytes of all files of one distribution, or of one file.

    The files are read, not their record: one that was edited after its installation counts as it
    is now. An editable installation and an ordinary one of the same code have the same hash if the
    distribution is one package.
    """
    files = sorted({(name, path) for offer in offers for name, path in files_of(offer)})
    return _sha256(tuple(files))


def code_sha256(package: str) -> str:
    """SHA-256 over the Python files of a top-level package or module, wherever it lies.

    Of a plugin, those that its distribution has beside it count as well: it may use them.
    """
    packages = {package}.union(*(p for p in map(_packages, distributions()) if package in p))
    files = (file for name in sorted(packages) for file in _module_files(name))
    return _sha256(tuple(f for f in files if f[1].suffix == ".py"))


def _packages(dist: Distribution) -> set[str]:
    """Its top-level packages and modules: those that its plugins are in, and what else there is.

    An editable installation has no record of its files, but most say what can be imported.
    """
    recorded = {f.parts[0].removesuffix(".py") for f in _recorded(dist) if f.suffix == ".py"}
    declared = (dist.read_text("top_level.txt") or "").split()
    offered = (offer.package for offer in offered_by(dist))
    return {p for p in {*offered, *declared, *recorded} if not p.startswith("__editable__")}


def files_of(offer: Offer) -> list[tuple[str, Path]]:
    """Each file with its name relative to where the package lies."""
    if offer.source is None:
        return [(offer.distribution, Path(offer.target))]
    if is_editable(offer.source):
        return list(_module_files(offer.package))
    return [(f.as_posix(), Path(str(f.locate()))) for f in _recorded(offer.source)]


def _recorded(dist: Distribution) -> Iterator[PackagePath]:
    """The files that it has installed beside its metadata."""
    for file in dist.files or ():
        inside = ".." not in file.parts and not file.parts[0].endswith((".dist-info", ".data"))
        if inside and _counts(Path(file)):
            yield file


def _module_files(module: str) -> Iterator[tuple[str, Path]]:
    folders, origin = top_level(module)
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and _counts(path.relative_to(folder)):
                yield path.relative_to(folder.parent).as_posix(), path
    if origin and not folders:
        yield origin.name, origin


def _counts(path: Path) -> bool:
    return path.suffix != ".pyc" and not any(
        part in IGNORED or part.startswith(".") for part in path.parts
    )


@cache
def _sha256(files: tuple[tuple[str, Path], ...]) -> str:
    """Read once per process: the code that runs is the code that was imported at its start."""
    digest = hashlib.sha256()
    for name, path in files:
        try:
            content = path.read_bytes()
        except OSError:
            content = b"absent"
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def is_editable(dist: Distribution) -> bool:
    """Whether its files lie in a working copy: then no record of them is kept."""
    if dist.read_text("RECORD") is None:
        return True
    try:
        return bool(json.loads(dist.read_text("direct_url.json") or "{}")["dir_info"]["editable"])
    except (ValueError, KeyError, TypeError):
        return False
