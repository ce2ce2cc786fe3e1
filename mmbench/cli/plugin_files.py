"""``--plugin FILE``, before or after any command: a research file used as if it were installed."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from mmbench.errors import BrokenPlugin
from mmbench.installed.switches import FILES, named_paths

Files = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE",
        help="A file with hooks, used as a plugin for this call; may be repeated.",
        is_eager=True,
        expose_value=False,
        callback=lambda files: use_files(files or []),
    ),
]


def plugin_option() -> Any:
    """The option as each command gets it; the command's own function never sees it."""
    carrier = typer.Typer(add_completion=False)

    @carrier.command()
    def _carry(plugin: Files = None) -> None:
        """Typer makes options of signatures only."""

    return next(p for p in typer.main.get_command(carrier).params if p.name == "plugin")


def files_among(arguments: list[str]) -> list[Path]:
    """What ``--plugin FILE`` names among the arguments of a command that is not known yet."""
    given = []
    for number, argument in enumerate(arguments):
        if argument == "--plugin" and number + 1 < len(arguments):
            given.append(Path(arguments[number + 1]))
        elif argument.startswith("--plugin="):
            given.append(Path(argument.partition("=")[2]))
    return given


def use_files(files: list[Path]) -> None:
    """Through the environment, so that the worker processes of a search load them too."""
    paths = [path.absolute() for path in files]
    for path in paths:
        if not path.is_file():
            raise BrokenPlugin(f"--plugin {path}: there is no such file.")
        if path.suffix != ".py":
            raise BrokenPlugin(f"--plugin {path}: a plugin's file ends in .py.")
    if paths:
        known = [*named_paths(), *map(str, paths)]
        os.environ[FILES] = os.pathsep.join(dict.fromkeys(known))
