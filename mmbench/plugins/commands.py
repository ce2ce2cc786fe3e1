"""The commands that plugins add, each plugin asked by itself."""

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

from mmbench.plugins.collection import Plugins

HOOK = "register_commands"


@dataclass(frozen=True, slots=True)
class PluginCommand:
    """One command and the plugin it is from, as ``name (distribution)``."""

    name: str
    plugin: str
    command: Any
    """A ``click`` command."""

    @property
    def summary(self) -> str:
        return str(self.command.get_short_help_str(80))


def plugin_commands(plugins: Plugins) -> list[PluginCommand]:
    """All of them; a plugin that raises when it is asked is named in the log and adds none."""
    import typer

    found = []
    for listener in getattr(plugins.manager.hook, HOOK).get_hookimpls():
        app = typer.Typer()
        with redirect_stdout(sys.stderr):
            willing = plugins.tell_one(listener, HOOK, app=app)
        if not willing:
            continue
        if not (app.registered_commands or app.registered_groups):
            continue
        app.callback()(lambda: None)  # so that a single command still makes a group
        group: Any = typer.main.get_command(app)
        owner = listener.plugin_name
        found += [PluginCommand(name, owner, command) for name, command in group.commands.items()]
    return found
