"""``mmbench plugins check``: the contract kit, from the command line."""

from typing import TYPE_CHECKING, Annotated

import typer

from mmbench.cli import plugin_list
from mmbench.cli.options import AsJson
from mmbench.cli.output import print_json, terminal

if TYPE_CHECKING:
    from mmbench.testing.contract import Contract, Verdict

BROKEN = 1

app = typer.Typer(help="List the installed plugins, or check one.")
app.callback(invoke_without_command=True)(plugin_list.plugins)


@app.command("check")
def check(
    what: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE.py",
            help="A plugin, a distribution or a component by its name; or a file with hooks.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Ask a plugin, or one component, for every promise; exit code 1 if one is broken."""
    from mmbench.testing.found import contracts_of

    asked = []
    for contract in contracts_of(what):
        verdicts = list(contract.verdicts())
        asked.append((contract, verdicts))
        if not as_json:
            _show(contract, verdicts)
    kept = all(verdict.kept for _, verdicts in asked for verdict in verdicts)
    if as_json:
        print_json({"kept": kept, "components": _document(asked)})
    if not kept:
        raise typer.Exit(BROKEN)


def _document(asked: "list[tuple[Contract, list[Verdict]]]") -> list[dict[str, object]]:
    from dataclasses import asdict

    return [
        {"kind": contract.kind, "name": contract.name, "promises": [asdict(v) for v in verdicts]}
        for contract, verdicts in asked
    ]


def _show(contract: "Contract", verdicts: "list[Verdict]") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("promise", "", "what is broken, and how to mend it"):
        table.add_column(title, overflow="fold")
    for verdict in verdicts:
        state = Text("ok", "green") if verdict.kept else Text("broken", "red")
        table.add_row(verdict.promise.replace("_", " "), state, Text(verdict.message))
    kept, seconds = sum(v.kept for v in verdicts), sum(v.seconds for v in verdicts)
    said = f"{kept} of {len(verdicts)} promises kept in {seconds:.1f} s"
    console = terminal()
    console.print(table)
    console.print(
        Text(
            f"{contract.kind} {contract.name}: {said}", "green" if kept == len(verdicts) else "red"
        )
    )
