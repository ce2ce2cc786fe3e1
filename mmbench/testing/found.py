"""The contracts of whatever a name or a file brings: a plugin, a component, a research file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmbench.errors import StorageError, UnknownName, did_you_mean
from mmbench.plugins import PluginRecord, gather_with, load_plugins
from mmbench.plugins.bringing import LISTENING
from mmbench.testing.contract import Contract
from mmbench.testing.kinds import CHECKS, contract_of
from mmbench.testing.subject import promise


def contracts_of(what: str) -> list[Contract]:
    """Of a plugin (by entry point or distribution), of a component by its name, or of a file.

    Raises ``UnknownName`` or ``StorageError`` if there is no such thing. What does not load has a
    contract too, with one promise, and that is broken.
    """
    if what.endswith(".py"):
        if not Path(what).is_file():
            raise StorageError(f"There is no file {what}. Give the path of a plugin's module.")
        plugins, record = gather_with(Path(what))
        return _of_plugin(record, plugins.module(record))
    plugins = load_plugins()
    named = [r for r in plugins.records if what in (r.name, r.distribution)]
    if named:
        return [c for record in named for c in _of_plugin(record, plugins.module(record))]
    components = [contract_of(r.kind, r[what]) for r in plugins.registries if what in r]
    if not components:
        known = {record.name for record in plugins.records}.union(*plugins.registries)
        raise UnknownName(
            f"There is no plugin, distribution or component {what!r}.{did_you_mean(what, known)} "
            f"`mmbench plugins` lists plugins; a file is named by its path, as in my_fusion.py."
        )
    return components


def _of_plugin(record: PluginRecord, plugin: Any) -> list[Contract]:
    """Of all that it registers; of itself alone if that is nothing, or cannot be had."""
    brought = list(_brought(plugin)) if record.usable else []

    def it_loads_and_does_something() -> None:
        """It is taken in as a plugin, and a hook of it returns something or listens to trials."""
        assert record.usable, str(record)
        assert brought or any(hasattr(plugin, hook) for hook in LISTENING), (
            f"{record.name}: its hooks return nothing. Return a class, as in "
            f"`@hookimpl def register_fusions(): return [MyFusion]`."
        )

    itself = Contract("plugin", record.name, (promise(it_loads_and_does_something),), tuple)
    return brought or [itself]


def _brought(plugin: Any) -> Iterator[Contract]:
    for kind in CHECKS:
        hook = getattr(plugin, f"register_{kind}s", None)
        if hook is None:
            continue
        if kind == "command":
            yield contract_of(kind, plugin)
        else:
            yield from (contract_of(kind, cls) for cls in hook())
