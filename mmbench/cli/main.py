"""The command line. Heavy imports stay inside commands: ``--help`` must be instant."""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from mmbench.cli import (
    board,
    cache,
    compare,
    diff,
    doctor,
    explain,
    hygiene,
    listing,
    plugin_list,
    publish,
    search,
    single,
    verify,
    workers,
)
from mmbench.errors import MMBenchError

USAGE_ERROR = 2
INTERRUPTED = 130


class Commands(TyperGroup):
    """Our commands, and those of plugins: these are loaded only for a name that is not ours."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return super().get_command(ctx, cmd_name) or _plugin_commands().get(cmd_name)


def _plugin_commands() -> dict[str, Any]:
    from mmbench.plugins import load_plugins

    extra = typer.Typer()
    load_plugins().manager.hook.register_commands(app=extra)
    if not (extra.registered_commands or extra.registered_groups):
        return {}
    extra.callback()(lambda: None)  # so that a single command still makes a group
    group: Any = typer.main.get_command(extra)
    return dict(group.commands)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": 100},
    rich_markup_mode=None,  # plain help: rich would double the time to print it
    help="A benchmark suite for multimodal fusion: finds the best encoder × fusion × head for a "
    "task, and says what it costs. Plugins may add commands: see `mmbench plugins`.",
)
app.command("search")(search.search)
app.command("compare")(compare.compare)
app.command("run")(single.run)
app.command("rerun")(single.rerun)
app.command("explain")(explain.explain)
app.command("leaderboard")(board.leaderboard)
app.command("diff")(diff.diff)
app.command("publish")(publish.publish)
app.command("verify")(verify.verify)
app.command("hygiene")(hygiene.hygiene)
app.command("sanity")(hygiene.sanity)
app.command("list")(listing.list_components)
app.command("describe")(listing.describe)
app.command("plugins")(plugin_list.plugins)
app.command("worker")(workers.worker)
app.add_typer(cache.cache, name="cache")
app.command("doctor")(doctor.doctor)
app.command("ui")(board.ui)


def main() -> None:
    """Run a command. What the user can mend is one message and exit code 2, never a traceback."""
    try:
        app()
    except MMBenchError as error:
        typer.secho(f"mmbench: {error}", fg="red", err=True)
        sys.exit(USAGE_ERROR)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader (head, less) had enough
        sys.stderr.close()
        sys.exit(0)
