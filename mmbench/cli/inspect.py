"""``mmbench inspect``: what is in a table of one's own, in plain words, without training."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmbench.cli.options import AsJson
from mmbench.cli.output import print_json, terminal

if TYPE_CHECKING:
    from rich.table import Table

    from mmbench.spec import Component
    from mmbench.tables.prepared import Prepared
    from mmbench.tables.preparing import Watch

ITEMS = 10
"""Broken files and the like that are listed; `--json` lists all."""


def inspect(
    task: "Component",
    write: Annotated[
        Path | None,
        typer.Option(help="Write all of this as a task file, YAML or TOML, to keep."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read a table of your own (--data) and say what it holds, what is wrong, how it is split."""
    from mmbench.errors import InvalidParameter
    from mmbench.files import write_whole
    from mmbench.tables.options import TableOptions
    from mmbench.tables.preparing import prepare
    from mmbench.tables.taskfile import check_writable, write_task_file

    family, _, name = task.name.partition(".")
    if family != "table":
        raise InvalidParameter("`inspect` reads --data; for a task, use `mmbench describe task`.")
    if write is not None:
        check_writable(write)
    options = TableOptions.of(task.params)
    if as_json:
        print_json(document(prepare(options)))
    if write is not None:
        write_whole(write, write_task_file(name, options, write))
        if not as_json:
            typer.echo(f"written to {write}: mmbench search --data {write}")


def document(prepared: "Prepared") -> dict[str, Any]:
    """All that was found, for machines."""
    from mmbench.parts import PARTS

    return {
        "options": prepared.options.params(),
        "version": prepared.version,
        "columns": {name: asdict(seem) for name, seem in prepared.seems.items()},
        "task": asdict(prepared.task),
        "parts": {part: len(prepared.rows(part)) for part in PARTS},
        "findings": [asdict(finding) for finding in prepared.findings],
    }


def show(name: str, prepared: "Prepared") -> None:
    """Columns with their kinds, the target, the parts, and everything that was found."""
    from rich.text import Text

    from mmbench.parts import PARTS

    console = terminal()
    rows = len(prepared.division.parts)
    counted = f"  {rows:,} rows, {len(prepared.seems)} columns"
    console.print(Text.assemble((name, "bold"), counted))
    console.print(_columns(prepared))
    console.print(Text(f"target   {prepared.options.target or 'pairs'}: {_target(prepared)}"))
    counts = ", ".join(f"{part} {len(prepared.rows(part)):,}" for part in PARTS)
    console.print(Text(f"parts    {counts} rows, by {prepared.options.split}"))
    for finding in prepared.findings:
        mark = ("!", "yellow") if finding.level == "done" else ("·", "dim")
        console.print(Text.assemble(mark, f" {finding.where}: {finding.says}."))
        if any(": " in item for item in finding.items):
            for item in finding.items[:ITEMS]:
                console.print(Text(f"    {item}", style="dim"))
    console.print()


def _target(prepared: "Prepared") -> str:
    task = prepared.task
    if task.target == "regression":
        mean, std = prepared.scale
        what = f"mean {mean:.4g}, standard deviation {std:.4g}; errors are in units of the latter"
    elif task.target == "retrieval":
        sides = zip(task.modalities, prepared.target.T, strict=True)
        what = " and ".join(f"{len(items.unique()):,} of {m}" for m, items in sides)
        what += ", one found by the other"
    elif task.target == "sequence":
        what = f"{len(task.outputs) - 1:,} words, at most {task.length - 1} an answer"
    else:
        what = f"{task.n_outputs:,} {'labels' if task.target == 'multilabel' else 'classes'}: "
        what += ", ".join(task.outputs[:8]) + (" …" if task.n_outputs > 8 else "")
    return f"{task.target}, {what}; main metric {task.metric}"


def _columns(prepared: "Prepared") -> "Table":
    from rich.table import Table
    from rich.text import Text

    from mmbench.tables.modalities import parsed_modalities, read_columns

    modalities = parsed_modalities(prepared.options.modalities)
    read = {column: (modality, kind) for column, kind, modality in read_columns(modalities)}
    table = Table(box=None, pad_edge=False)
    for title in ("column", "kind", "modality", "why"):
        table.add_column(title)
    for name, seem in prepared.seems.items():
        role = "target" if name == prepared.options.target else ""
        m, kind = read.get(name, ("", role or "not used"))
        table.add_row(*(Text(cell) for cell in (name, kind, m, "" if role else seem.why)))
    return table


@contextmanager
def decoding(*, quiet: bool) -> "Iterator[Watch]":
    """A bar per column of files while they are decoded; nothing if they already are."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=quiet) as bars:

        def watch(column: str) -> Any:
            bar: list[Any] = []

            def progress(done: int, total: int) -> None:
                if not bar:
                    bar.append(bars.add_task(f"decoding {column}", total=total))
                bars.update(bar[0], completed=done)

            return progress

        yield watch
