"""``mmbench plugins``: every installed plugin, and how its loading went."""

import json
from collections import Counter
from typing import Annotated

import typer

from mmbench.cli.options import AsJson

COLOURS = {"loaded": "green", "slow": "yellow", "disabled": "bright_black"}


def plugins(
    context: typer.Context,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show tracebacks.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the installed plugins with their state, and what mmbench itself brings."""
    if context.invoked_subcommand:
        return  # `mmbench plugins check`
    from mmbench.catalogue import catalogue

    known = catalogue()
    if as_json:
        typer.echo(json.dumps(known["plugins"], indent=2))
        return
    owners: dict[str, Counter[str]] = {}
    for kind, components in known["components"].items():
        for component in components:
            owners.setdefault(component["owner"], Counter())[kind] += 1
    typer.echo(f"built in   {_counted(owners.get('mmbench', Counter()))}")
    for record in known["plugins"]:
        state = typer.style(f"{record['state']:10}", fg=COLOURS.get(record["state"], "red"))
        brings = _counted(owners.get(record["distribution"], Counter()))
        typer.echo(
            f"{state} {record['name']} ({record['distribution']} {record['version']})  {brings}"
        )
        if record["reason"]:
            typer.echo(f"           {record['reason']}")
        if verbose and record["detail"]:
            typer.echo(record["detail"])
    if not known["plugins"]:
        typer.echo("no plugins are installed beside it")


def _counted(kinds: Counter[str]) -> str:
    return ", ".join(f"{n} {kind}{'s' * (n != 1)}" for kind, n in kinds.items())
