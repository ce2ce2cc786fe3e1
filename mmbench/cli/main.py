"""The command line. Heavy imports stay inside commands: ``--help`` must be instant."""

import sys
from contextlib import nullcontext
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mmbench.cli import (
    board,
    cache,
    compare,
    diff,
    doctor,
    explain,
    export,
    hygiene,
    inspect,
    listing,
    new,
    plugin_check,
    predict,
    prepare,
    publish,
    search,
    single,
    verify,
    workers,
)
from mmbench.cli.data_options import takes_data
from mmbench.cli.output import stdout_for_all, stdout_for_json, until_its_reader_goes
from mmbench.cli.plugin_files import files_among, plugin_option, use_files
from mmbench.errors import MMBenchError, visible
from mmbench.threads import one_unless_told

USAGE_ERROR = 2
INTERRUPTED = 130


class Commands(TyperGroup):
    """Our commands, and those of plugins: these are loaded only for a name that is one of theirs.

    Each takes ``--plugin FILE``, as the whole program does.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(plugin_option())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name) or _plugin_command(cmd_name)
        if command is not None and not any(p.name == "plugin" for p in command.params):
            command.params.append(plugin_option())
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """A command of a plugin's file is known once the file is, though it is named after it."""
        if args and super().get_command(ctx, args[0]) is None:
            use_files(files_among(args[1:]))
            stdout_for_all()
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """A pipe that breaks elsewhere than on stdout would end the command in silence."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ConnectionError(str(error)) from error

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Ours, then those of plugins, as far as they are known without importing anything."""
        from mmbench.catalogue import remembered

        super().format_commands(ctx, formatter)
        added = [(c["name"], c["summary"]) for c in remembered().get("commands", [])]
        if added:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(added)


def _plugin_command(name: str) -> Any:
    """A command that a plugin adds. Only if one does, plugins are imported."""
    from mmbench.catalogue import catalogue

    if all(known["name"] != name for known in catalogue()["commands"]):
        return None
    from mmbench.plugins import load_plugins
    from mmbench.plugins.commands import plugin_commands

    return next((c.command for c in plugin_commands(load_plugins()) if c.name == name), None)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": 100},
    rich_markup_mode=None,  # plain help: rich would double the time to print it
    help="A benchmark suite for multimodal fusion: finds the best encoder × fusion × head for a "
    "task, and says what it costs. Plugins may add commands: `mmbench plugins` lists them too.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mmbench {version('mmbench')}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
]


@app.callback()
def _options(_version: Version = False) -> None:
    pass


app.command("search")(takes_data(search.search))
app.command("compare")(takes_data(compare.compare))
app.command("run")(takes_data(single.run))
app.command("rerun")(single.rerun)
app.command("explain")(explain.explain)
app.command("export")(export.export)
app.command("predict")(predict.predict)
app.command("leaderboard")(board.leaderboard)
app.command("diff")(diff.diff)
app.command("publish")(publish.publish)
app.command("verify")(verify.verify)
app.command("hygiene")(takes_data(hygiene.hygiene))
app.command("sanity")(takes_data(hygiene.sanity))
app.command("inspect")(takes_data(inspect.inspect))
app.command("prepare")(prepare.prepare)
app.command("list")(listing.list_components)
app.command("describe")(listing.describe)
app.add_typer(plugin_check.app, name="plugins")
app.command("new")(new.new)
app.command("worker")(workers.worker)
app.add_typer(cache.cache, name="cache")
app.command("doctor")(doctor.doctor)
app.command("ui")(board.ui)


def main() -> None:
    """Run a command. What the user can mend is one message and exit code 2, never a traceback."""
    one_unless_told()
    try:
        with (
            until_its_reader_goes(),
            stdout_for_json() if "--json" in sys.argv else nullcontext(),
        ):
            app()
    except MMBenchError as error:
        typer.secho(f"mmbench: {visible(error)}", fg="red", err=True)
        sys.exit(USAGE_ERROR)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
