"""The commands that plugins add, each plugin asked by itself."""

import logging
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

from mmbench.installed.switches import DISABLED
from mmbench.plugins.collection import Plugins

HOOK = "register_commands"
log = logging.getLogger(__name__)


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

    found: list[PluginCommand] = []
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
        given = [PluginCommand(name, owner, command) for name, command in group.commands.items()]
        found += [command for command in given if _is_free(command, found)]
    return found


def _is_free(command: PluginCommand, found: list[PluginCommand]) -> bool:
    """Whether no plugin before has a command of that name; a clash is said in the log."""
    other = next((known for known in found if known.name == command.name), None)
    if other is not None:
        log.warning(
            "plugin %s: name clash: its command %r is left out, since %s has one too. Switch one "
            "off with %s, or ask an author to rename it.",
            command.plugin, command.name, other.plugin, DISABLED,
        )  # fmt: skip
    return other is None
