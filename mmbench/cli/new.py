"""``mmbench new``: a complete package for a plugin, to be filled."""

from pathlib import Path
from typing import Annotated, Any

import typer

KINDS = "dataset | encoder | fusion | head | objective | metric | command"


def new(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help=KINDS)],
    name: Annotated[str, typer.Argument(help="Of the package and of what it brings: my-fusion.")],
    into: Annotated[Path, typer.Option(help="The folder that the package's own lies in.")] = Path(),
) -> None:
    """Write a package for a plugin of your own: code, tests, entry point, README, CI.

    It installs, passes its tests and is found at once; nothing that exists is overwritten.
    """
    from mmbench.scaffold.naming import names_of
    from mmbench.scaffold.writing import write_package

    root: Any = context.find_root().command
    names = names_of(kind, name, root.commands)
    for path in write_package(names, into):
        typer.echo(path)
    folder = into / names.distribution
    typer.echo(
        f"\nNow: uv pip install -e {folder}, pytest {folder}, mmbench plugins check "
        f"{names.component}; then write your own formula into {names.module}.py."
    )
