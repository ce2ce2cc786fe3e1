"""All components there are, by kind and name, and the plugins that listen to trials."""

import logging
from dataclasses import dataclass, field
from typing import Any

import pluggy

from mmbench import hookspecs
from mmbench.contracts import Dataset, Encoder, Fusion, Head, Metric, Objective
from mmbench.errors import brief
from mmbench.installed.offers import GROUP, Offer
from mmbench.installed.records import PluginRecord
from mmbench.registry import Registry

BUILTIN = "mmbench"
log = logging.getLogger(__name__)


def hook_manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    return manager


@dataclass(frozen=True, slots=True)
class Plugins:
    """Everything that is installed, by kind and name."""

    datasets: Registry[Dataset] = field(default_factory=lambda: Registry("dataset"))
    encoders: Registry[Encoder] = field(default_factory=lambda: Registry("encoder"))
    fusions: Registry[Fusion] = field(default_factory=lambda: Registry("fusion"))
    heads: Registry[Head] = field(default_factory=lambda: Registry("head"))
    objectives: Registry[Objective] = field(default_factory=lambda: Registry("objective"))
    metrics: Registry[Metric] = field(default_factory=lambda: Registry("metric"))
    records: list[PluginRecord] = field(default_factory=list)
    offers: list[Offer] = field(default_factory=list)
    """Of the plugins that are loaded."""
    manager: pluggy.PluginManager = field(default_factory=hook_manager)
    complained: set[tuple[str, str]] = field(default_factory=set)
    """Hooks that have raised, by plugin: each is said once."""

    @property
    def registries(self) -> tuple[Registry[Any], ...]:
        return (
            self.datasets, self.encoders, self.fusions, self.heads, self.objectives, self.metrics,
        )  # fmt: skip

    def module(self, record: PluginRecord) -> Any:
        """What that plugin is; None if it did not load."""
        return self.manager.get_plugin(f"{record.name} ({record.distribution})")

    def tell(self, hook: str, **values: Any) -> None:
        """Call a hook of each plugin by itself: one that raises is named, the others still hear."""
        for listener in reversed(getattr(self.manager.hook, hook).get_hookimpls()):
            self.tell_one(listener, hook, **values)

    def tell_one(self, listener: pluggy.HookImpl, hook: str, **values: Any) -> bool:
        """Whether that plugin took it; if not, its failure is in the log."""
        listeners = getattr(self.manager.hook, hook).get_hookimpls()
        others = [other.plugin for other in listeners if other.plugin is not listener.plugin]
        try:
            self.manager.subset_hook_caller(hook, others)(**values)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's code
            self._complain(listener.plugin_name, hook, error)
            return False
        return True

    def _complain(self, plugin: str, hook: str, error: BaseException) -> None:
        if (plugin, hook) in self.complained:
            return
        self.complained.add((plugin, hook))
        what = brief(error)
        log.warning(
            "plugin %s: its hook %s raised %s; everything else goes on. Tell its author, or switch "
            "it off with MMBENCH_DISABLE_PLUGINS.", plugin, hook, what, exc_info=error,
        )  # fmt: skip
