"""What is installed, as data, without importing it again.

Loading every component imports PyTorch, which takes seconds. The catalogue is what that loading
found, kept in the cache under a fingerprint of everything that could change the answer: plugins,
their files, our own files, the folders on the path. Any change loads everything afresh.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.cache import cache_root
from mmbench.installed.contents import content_sha256
from mmbench.installed.offers import Offer, offers, top_level
from mmbench.installed.records import PluginRecord, insist
from mmbench.installed.switches import DISABLED, FILES, ONLY

if TYPE_CHECKING:
    from mmbench.plugins import Plugins

FORMAT = 3
CHOICES = (ONLY, DISABLED, FILES)
SETTLED = ("loaded", "disabled")
KEPT = 8
"""Catalogues: one for each choice of plugins that is in use."""


def catalogue(*, doubt: bool = False) -> dict[str, Any]:
    """What is there, as JSON.

    ``plugins``: a list of records; ``components``: by kind, a list of name, owner, summary;
    ``commands``: those that plugins add. With ``doubt``, nothing that was known of a plugin that
    was broken or slow is believed: everything is loaded afresh.
    """
    known = remembered()
    if not known or (doubt and any(r["state"] not in SETTLED for r in known["plugins"])):
        known = take_stock()
        _keep(_place(), known)  # importing may have written compiled files beside a module
    return known


def remembered() -> dict[str, Any]:
    """The catalogue if it was written before and nothing changed since; else empty."""
    try:
        known: dict[str, Any] = json.loads(_place().read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return known


def _place() -> Path:
    return cache_root() / "catalogue" / f"{fingerprint()}.json"


def take_stock() -> dict[str, Any]:
    """Load everything and write down what came of it."""
    from mmbench.plugins import gather
    from mmbench.plugins.commands import plugin_commands

    plugins = gather()
    return {
        "plugins": [_stock_of(record, plugins) for record in plugins.records],
        "components": {
            registry.kind: [
                {"name": name, "owner": registry.owner(name), "summary": _summary(registry[name])}
                for name in sorted(registry)
            ]
            for registry in plugins.registries
        },
        "commands": [
            {"name": c.name, "owner": c.plugin, "summary": c.summary}
            for c in plugin_commands(plugins)
        ],
    }


def refuse_broken(known: Mapping[str, Any], *, named: bool = True) -> None:
    """Raise ``BrokenPlugin`` as ``load_plugins`` does; ``named``: for the user's own files too."""
    fields = PluginRecord.__slots__
    records = [PluginRecord(**{f: record[f] for f in fields}) for record in known["plugins"]]
    insist(records if named else [replace(record, named=False) for record in records])


def _stock_of(record: PluginRecord, plugins: "Plugins") -> dict[str, Any]:
    """A record, and a hash of the files it is made of."""
    own = [o for o in plugins.offers if o.distribution == record.distribution]
    return {**asdict(record), "sha256": content_sha256(own) if record.usable else ""}


def _summary(cls: type) -> str:
    """The first line of its docstring, or of its file's."""
    text = cls.__doc__ or getattr(sys.modules.get(cls.__module__), "__doc__", None) or ""
    return text.strip().partition("\n")[0]


def fingerprint() -> str:
    """A digest of all that decides which components load."""
    digest = hashlib.sha256(f"{FORMAT} {sys.version}".encode())
    for name in CHOICES:
        digest.update(f"{name}={os.environ.get(name)}\n".encode())
    for offer in offers():
        digest.update(f"{offer} {offer.version} {offer.target}\n".encode())
        for path in _files(offer):
            digest.update(_stamp(path))
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(_stamp(path))
    for folder in sys.path:
        digest.update(_stamp(Path(folder or ".")) if folder else b"")
    return digest.hexdigest()[:24]


def _files(offer: Offer) -> Iterator[Path]:
    """The Python files of a plugin's top-level module or package, or its one file."""
    if offer.is_file:
        yield Path(offer.target)
        return
    folders, origin = top_level(offer.package)
    for folder in folders:
        yield from sorted(folder.rglob("*.py"))
    if origin:
        yield origin


def _stamp(path: Path) -> bytes:
    try:
        stat = path.stat()
    except OSError:
        return f"{path} absent\n".encode()
    size = stat.st_size if path.is_file() else 0
    return f"{path} {stat.st_mtime_ns} {size}\n".encode()


def _keep(path: Path, known: dict[str, Any]) -> None:
    """A cache that cannot be written is no error: the next call loads everything again."""
    partial = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(known))
        partial.replace(path)
        by_age = sorted(path.parent.glob("*.json"), key=lambda p: p.stat().st_mtime)
        for old in by_age[:-KEPT]:
            old.unlink(missing_ok=True)
    except OSError:
        return
