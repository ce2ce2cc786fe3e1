"""``mmbench prepare``: whether a folder holds a published data set, and what is missing from it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mmbench.cli.options import AsJson


def prepare(
    task: Annotated[str, typer.Argument(help="A task that reads a folder, such as vqa-v2.")],
    root: Annotated[Path, typer.Option(help="The folder with its files.")],
    as_json: AsJson = False,
) -> None:
    """Check the files of a published data set; exit code 1 if some are missing.

    What is there is read and decoded once, so that a search can start.
    """
    from mmbench.datasets._published import Published
    from mmbench.errors import InvalidParameter
    from mmbench.parts import PARTS
    from mmbench.plugins import load_plugins

    cls: Any = load_plugins().datasets[task]
    if not issubclass(cls, Published):
        raise InvalidParameter(f"The task {task!r} brings its own data: nothing to prepare.")
    missing = cls.missing(root)
    rows: dict[str, int] = {}
    findings: list[str] = []
    if not missing:
        dataset = cls(root=str(root))
        rows = {part: len(dataset.load(part)) for part in PARTS}
        prepared = getattr(dataset, "prepared", None)
        findings = [f"{f.where}: {f.says}" for f in prepared.findings] if prepared else []
    if as_json:
        document = {"task": task, "missing": missing, "rows": rows, "findings": findings}
        typer.echo(json.dumps(document, indent=2))
    else:
        for expected in cls.expects:
            found = expected.found(root)
            mark = typer.style("ok", fg="green") if found else typer.style("!!", fg="red")
            typer.echo(f"{mark} {found or ' or '.join(expected.names)}  {expected.what}")
        for finding in findings:
            typer.echo(f"   {finding}")
        if missing:
            typer.secho(f"not whole: {'; '.join(missing)}. Source: {cls.home}", fg="red")
        else:
            counts = ", ".join(f"{part} {n:,}" for part, n in rows.items())
            typer.echo(f"{counts} rows. mmbench search --task {task} --set task.root={root}")
    if missing:
        raise typer.Exit(1)
