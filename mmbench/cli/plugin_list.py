"""``mmbench plugins``: every installed plugin, how its loading went, and how to mend it."""

from collections import Counter
from typing import Annotated, Any

import typer

from mmbench.cli.options import AsJson
from mmbench.cli.output import print_json

COLOURS = {"loaded": "green", "slow": "yellow", "disabled": "bright_black"}
INDENT = " " * 14


def plugins(
    context: typer.Context,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show where each lies, its hash, and tracebacks.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the installed plugins with their state and owner, and how to mend what is broken.

    With MMBENCH_STRICT_PLUGINS set, exit code 2 if any is broken.
    """
    if context.invoked_subcommand:
        return  # `mmbench plugins check`
    from mmbench.catalogue import catalogue, refuse_broken

    known = catalogue(doubt=True)
    if as_json:
        print_json(known["plugins"])
    else:
        root: Any = context.find_root().command
        _show(known, set(root.commands), verbose=verbose)
    refuse_broken(known, named=False)


def _show(known: dict[str, Any], ours: set[str], *, verbose: bool) -> None:
    owners: dict[str, Counter[str]] = {}
    for kind, components in known["components"].items():
        for component in components:
            owners.setdefault(component["owner"], Counter())[kind] += 1
    typer.echo(f"{'built in':13} {_counted(owners.get('mmbench', Counter()))}")
    for record in known["plugins"]:
        brings = owners.get(record["distribution"], Counter()) if _works(record) else Counter()
        commands = _commands(known, record, ours) if _works(record) else []
        _show_one(record, ", ".join(filter(None, [_counted(brings), *commands])), verbose=verbose)
    if not known["plugins"]:
        typer.echo("no plugins are installed beside it")


def _show_one(record: dict[str, Any], brings: str, *, verbose: bool) -> None:
    state = typer.style(f"{record['state']:13}", fg=COLOURS.get(record["state"], "red"))
    owner = f"{record['distribution']} {record['version']}".strip()
    typer.echo(f"{state} {record['name']} ({owner})  {brings}".rstrip())
    for label, text in (("", record["reason"]), ("mend: ", record["mend"])):
        if text:
            typer.echo(f"{INDENT}{label}{text}")
    if not verbose:
        return
    for key in ("target", "folder", "contact", "sha256"):
        if record[key]:
            typer.echo(f"{INDENT}{key:8} {record[key]}")
    if record["seconds"]:
        typer.echo(f"{INDENT}{'import':8} {record['seconds']:.2f} s")
    if record["detail"]:
        typer.echo(record["detail"])


def _works(record: dict[str, Any]) -> bool:
    return record["state"] in ("loaded", "slow")


def _commands(known: dict[str, Any], record: dict[str, Any], ours: set[str]) -> list[str]:
    owner = f"{record['name']} ({record['distribution']})"
    names = [c["name"] for c in known["commands"] if c["owner"] == owner]
    clash = " (name clash: mmbench has it itself, so the plugin's is never run)"
    return [f"command {name}{clash if name in ours else ''}" for name in names]


def _counted(kinds: Counter[str]) -> str:
    return ", ".join(f"{n} {kind}{'s' * (n != 1)}" for kind, n in kinds.items())
