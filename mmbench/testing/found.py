"""The contracts of whatever a name or a file brings: a plugin, a component, a research file."""

import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmbench.errors import StorageError, UnknownName, did_you_mean
from mmbench.plugins import load_plugins
from mmbench.testing.contract import Contract
from mmbench.testing.kinds import CHECKS, contract_of
from mmbench.testing.promises import promise

GROUP = "mmbench"
STATES_THAT_WORK = ("loaded", "slow")


def contracts_of(what: str) -> list[Contract]:
    """Of a plugin (by entry point or distribution), of a component by its name, or of a file.

    Raises ``UnknownName`` or ``StorageError`` if there is no such thing. What does not load has a
    contract too, with one promise, and that is broken.
    """
    if what.endswith(".py"):
        if not Path(what).is_file():
            raise StorageError(f"There is no file {what}. Give the path of a plugin's module.")
        return list(_of_plugin(Path(what).stem, lambda: _module(Path(what))))
    entries = list(importlib.metadata.entry_points(group=GROUP))
    named = [e for e in entries if what in (e.name, e.dist and e.dist.name)]
    if named:
        return [c for e in named for c in _of_plugin(e.name, lambda e=e: _loaded(e))]  # type: ignore[misc]
    registries = load_plugins().registries
    components = [contract_of(r.kind, r[what]) for r in registries if what in r]
    if not components:
        known = {e.name for e in entries}.union(*registries)
        raise UnknownName(
            f"There is no plugin, distribution or component {what!r}.{did_you_mean(what, known)} "
            f"`mmbench plugins` lists plugins; a file is named by its path, as in my_fusion.py."
        )
    return components


def _of_plugin(name: str, load: Callable[[], Any]) -> Iterator[Contract]:
    """Of all that it registers; of itself alone if that cannot be had."""

    def it_loads_and_registers_something() -> None:
        """It is imported without an error, and a hook of it returns what it should."""
        assert list(_brought(load())), (
            f"{name} implements no hook that brings something. Write one, as in "
            f"`@hookimpl def register_fusions(): return [MyFusion]`."
        )

    itself = Contract("plugin", name, (promise(it_loads_and_registers_something, name),), tuple)
    if all(verdict.kept for verdict in itself.verdicts()):
        yield from _brought(load())
    else:
        yield itself


def _brought(plugin: Any) -> Iterator[Contract]:
    for kind in CHECKS:
        hook = getattr(plugin, f"register_{kind}s", None)
        if hook is None:
            continue
        if kind == "command":
            yield contract_of(kind, plugin)
        else:
            yield from (contract_of(kind, cls) for cls in hook())


def _loaded(entry: importlib.metadata.EntryPoint) -> Any:
    """An installed plugin, if mmbench could load it too."""
    distribution = entry.dist.name if entry.dist else "unknown"
    for record in load_plugins().records:
        same = (record.name, record.distribution) == (entry.name, distribution)
        assert not same or record.state in STATES_THAT_WORK, f"{record.state}: {record.reason}"
    return entry.load()


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # for what looks its own module up, such as dataclasses
    spec.loader.exec_module(module)
    return module
