"""``mmbench verify``: whether rows can be trusted."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmbench.cli.options import OUT, AsJson, Device, Moved, Out, task_settings
from mmbench.cli.output import print_json
from mmbench.errors import MMBenchError, StorageError, visible

if TYPE_CHECKING:
    from mmbench.leaderboard.checked import Checked
    from mmbench.plugins import Plugins


def verify(
    rows: Annotated[list[Path], typer.Argument(help="Rows, folders of rows, or whole trees.")],
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Also train each row again and compare.")
    ] = False,
    restate: Annotated[
        bool,
        typer.Option(
            "--restate",
            help="Write rows anew whose intervals alone differ; means must follow as they stand.",
        ),
    ] = False,
    moved: Moved = None,
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of --rerun.")] = 1,
    out: Out = OUT,
    as_json: AsJson = False,
) -> None:
    """Check rows: ids, data, search, and every figure from the stored predictions.

    Exit code 1 if a row is invalid. Needs no network and no MLflow; HF_HUB_OFFLINE=0 lets data be
    fetched that a row names on the hub.
    """
    from mmbench.leaderboard.verify import verify as check
    from mmbench.plugins import load_plugins

    if missing := [str(place) for place in rows if not place.exists()]:
        raise StorageError(f"There is no {', '.join(missing)}. Name a row, or a folder of rows.")
    if not rerun:  # a stranger's row names its data: nothing is fetched because it says so
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    plugins, done = load_plugins(), []
    for checked in check(rows, plugins, restate=restate, places=task_settings(moved)):
        if rerun and not checked.problems:
            _train_again(checked, plugins, device, threads, out)
        done.append(checked)
        if not as_json:
            _show(checked)
    if as_json:
        print_json([checked.to_dict() for checked in done])
    else:
        _sum_up(done)
    if any(checked.problems for checked in done):
        raise typer.Exit(1)


def _train_again(
    checked: "Checked", plugins: "Plugins", device: str, threads: int, out: Path
) -> None:
    """A row holds if the new score of the main metric lies in its interval."""
    from mmbench.cli.single import evaluate
    from mmbench.spec import spec_from_dict

    row = checked.row
    assert row is not None
    try:
        spec = spec_from_dict(row.spec)
        now = evaluate(spec, row.seeds, plugins, device, threads, out, quiet=True)
    except MMBenchError as error:
        checked.problems.append(f"it cannot be trained again: {error}")
        return
    mean, low, high = row.main["mean"], row.main["low"], row.main["high"]
    again = now.main["mean"]
    text = f"trained again, {row.metric} is {again:.4f}; the row has {mean:.4f}"
    if again == mean or low <= again <= high:
        checked.notes.append(text)
    else:
        checked.problems.append(f"{text} [{low:.4f}, {high:.4f}]")


def _show(checked: "Checked") -> None:
    if checked.problems:
        typer.secho(f"INVALID  {visible(checked.file)}", fg="red")
        for problem in checked.problems:
            typer.echo(f"         {visible(problem)}")
    else:
        how = "" if checked.recomputed else "  (without predictions)"
        typer.echo(f"ok       {visible(checked.file)}{how}")
    for plugin in checked.plugins:
        typer.echo(f"         made with {plugin}")


def _sum_up(done: "list[Checked]") -> None:
    """Notes, each with how many rows it is true of; then the count."""
    from collections import Counter

    for note, n in Counter(note for checked in done for note in checked.notes).items():
        typer.secho(f"note     {n} {'row' if n == 1 else 'rows'}: {visible(note)}", fg="yellow")
    invalid = sum(bool(checked.problems) for checked in done)
    recomputed = sum(checked.recomputed and not checked.problems for checked in done)
    typer.echo(
        f"{len(done)} rows: {len(done) - invalid} valid, {recomputed} of them computed again from "
        f"their predictions; {invalid} invalid"
    )
