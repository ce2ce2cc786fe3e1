"""``mmbench run`` and ``mmbench rerun``: one configuration, once or once more."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmbench.cli.described import spec_in, spec_of
from mmbench.cli.named_row import find_row
from mmbench.cli.options import (
    BOARDS,
    OUT,
    AsJson,
    Boards,
    Device,
    Diagnoses,
    Moved,
    Out,
    Set,
    names,
    task_settings,
)
from mmbench.cli.output import print_json
from mmbench.errors import InvalidSpec

if TYPE_CHECKING:
    from mmbench.leaderboard.row import Row
    from mmbench.plugins import Plugins
    from mmbench.spec import Component, TrialSpec


def run(
    task: "Component | None" = None,
    fusion: Annotated[
        str | None,
        typer.Option(help="A fusion, or only-<modality>; else concat, or what fits."),
    ] = None,
    encoder: Annotated[
        list[str] | None, typer.Option(help="MODALITY=NAME; the default of its kind otherwise.")
    ] = None,
    head: Annotated[str | None, typer.Option(help="Else mlp, or the paradigm's.")] = None,
    objective: Annotated[str | None, typer.Option(help="Else plain, or the task's.")] = None,
    set_: Set = None,
    spec: Annotated[
        Path | None, typer.Option(help="A spec file (JSON) instead of the options above.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from 0 up.")] = 1,
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    diagnoses: Diagnoses = False,
    out: Out = OUT,
    as_json: AsJson = False,
) -> None:
    """Train one configuration, score it on validation and test, and measure what it costs."""
    from mmbench.plugins import load_plugins
    from mmbench.search.idle import idle, idle_note

    plugins = load_plugins()
    if spec is not None:
        chosen = spec_in(spec)
    elif task is not None:
        chosen = spec_of(task, fusion, names(encoder), head, objective, set_ or [], plugins)
    else:
        raise InvalidSpec("Say what to run: --task NAME with options, or --spec FILE.")
    objective = chosen.objective.name
    does_nothing = idle(objective, chosen.fusion.name, chosen.encoders.values(), plugins)
    if does_nothing:
        typer.secho(idle_note([objective]), fg="yellow", err=True)
    first = chosen.seed
    row = evaluate(
        chosen, range(first, first + seeds), plugins, device, threads, out,
        quiet=as_json, diagnose=diagnoses,
    )  # fmt: skip
    if as_json:
        from mmbench.leaderboard.row import public

        print_json(public(row))


def rerun(
    row: Annotated[str, typer.Argument(help="A row: its JSON file, or its id on a board.")],
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many of its seeds.")
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Even if its plugins have another version or content.")
    ] = False,
    moved: Moved = None,
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    out: Out = OUT,
    leaderboards: Boards = BOARDS,
    as_json: AsJson = False,
) -> None:
    """Train a row of a leaderboard again, and say how far the new figures are from its own."""
    from dataclasses import asdict

    from mmbench.leaderboard.row import used_plugins
    from mmbench.leaderboard.row_files import read_row
    from mmbench.plugins import load_plugins
    from mmbench.provenance import require
    from mmbench.spec import spec_from_dict
    from mmbench.standalone import changed_environment, differences

    plugins = load_plugins()
    before = read_row(find_row(row, leaderboards))
    changes = require(used_plugins(before), plugins, f"row {before.id}", anyway=anyway)
    now = evaluate(
        spec_from_dict(before.spec).moved(task_settings(moved)), before.seeds[:seeds], plugins,
        device, threads, out, quiet=as_json,
    )  # fmt: skip
    found = differences(before, now)
    changes += changed_environment(before, now)
    if as_json:
        document = {"id": before.id, "differences": [asdict(d) for d in found], "changes": changes}
        print_json(document)
        return
    typer.echo(f"{'':28}{'row':>12}{'now':>12}")
    for d in found:
        typer.echo(f"{d.figure:28}{d.before:12.4f}{d.now:12.4f}  {d.note}")
    for change in changes:
        typer.secho(f"not the same as for the row: {change}", fg="yellow")


def evaluate(
    spec: "TrialSpec",
    seeds: Any,
    plugins: "Plugins",
    device: str,
    threads: int,
    out: Path,
    *,
    quiet: bool,
    diagnose: bool = False,
) -> "Row":
    import torch

    from mmbench.campaign.places import Places
    from mmbench.leaderboard.diagnoses import predictions_file
    from mmbench.standalone import evaluate_alone
    from mmbench.tracking import Evaluated, Tracker
    from mmbench.trial import Workbench, device_named

    torch.set_num_threads(threads)
    places = Places(out, out)
    places.check()

    def on_epoch(epoch: int, values: dict[str, float]) -> None:
        if not quiet:
            typer.echo(
                f"epoch {epoch + 1:3}   loss {values['train_loss']:.4f}   "
                f"validation {values['score']:.4f}"
            )

    bench = Workbench(device_named(device))
    folder = out / "single"
    row, trained = evaluate_alone(
        spec, list(seeds), plugins, bench, folder,
        threads=threads, on_epoch=on_epoch, diagnose=diagnose,
    )  # fmt: skip
    first = trained[0]
    evaluated = Evaluated(
        row.to_dict(),
        [t.curve for t in trained],
        model=first.model_folder,
        predictions=first.folder / predictions_file(row.id),
    )
    Tracker(places.tracking_uri, out / "artifacts").log_final(row.task, evaluated)
    if not quiet:
        _print_row(row, trained[0].model_folder)
    return row


def _print_row(row: "Row", model: Path) -> None:
    quality = row.quality[row.metric]
    typer.echo(
        f"\n{row.task}: {row.encoders} → {row.fusion} → {row.head} ({row.objective}), "
        f"{len(row.seeds)} seed{'s' * (len(row.seeds) > 1)}\n"
        f"  test {row.metric}      {quality['mean']:.4f} "
        f"[{quality['low']:.4f}, {quality['high']:.4f}]\n"
        f"  latency, batch 1   p50 {row.latency_ms_p50:.2f} ms, p95 {row.latency_ms_p95:.2f} ms\n"
        f"  peak memory        {row.peak_memory_mib:.1f} MiB\n"
        f"  parameters         {row.parameters:,}\n"
        f"  trained in         {row.train_seconds:.1f} s\n"
        f"  hardware           {row.hardware}\n"
        f"  model              {model}"
    )
