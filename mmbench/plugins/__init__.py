"""Find plugins, built-in and installed, and build the registries from them.

``mmbench.installed`` says what there is; ``loading`` imports it, one at a time; ``bringing`` checks
what each brings; ``collection`` holds the result.
"""

from mmbench.installed.records import PluginRecord
from mmbench.plugins.collection import BUILTIN, Plugins
from mmbench.plugins.loading import gather, gather_with, load_plugins

__all__ = ["BUILTIN", "PluginRecord", "Plugins", "gather", "gather_with", "load_plugins"]
