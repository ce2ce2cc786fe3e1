"""``mmbench hygiene`` and ``mmbench sanity``: whether a task's parts, or its training, leak."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmbench.cli.options import AsJson, Device, Set, names, settings
from mmbench.cli.output import print_json

if TYPE_CHECKING:
    from mmbench.sanity import Fallen
    from mmbench.spec import Component


def hygiene(
    task: "Component",
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Check that no source and no whole row of a task is in two of its parts; exit code 1 if so."""
    from mmbench.loading import load_part
    from mmbench.parts import PARTS, overlaps, split_digest
    from mmbench.plugins import load_plugins
    from mmbench.resolve import resolve_dataset

    given = settings(set_, ("task",))
    _, dataset = resolve_dataset(task.but(given.get("task", {})), load_plugins())
    parts = {part: load_part(dataset, part, task.name) for part in PARTS}
    shared = overlaps(parts)
    document: dict[str, Any] = {
        "task": task.name,
        "version": dataset.version,
        "parts": {
            part: {
                "rows": len(split),
                "sources": None if split.source is None else len(split.source.unique()),
                "sha256": split_digest(split),
            }
            for part, split in parts.items()
        },
        "shared": [
            {"parts": [o.one, o.other], "sources": len(o.sources), "equal_rows": len(o.rows)}
            for o in shared
        ],
    }
    if as_json:
        print_json(document)
    else:
        typer.echo(f"{task.name} {dataset.version}")
        for part, facts in document["parts"].items():
            n, rows = facts["sources"], facts["rows"]
            sources = "no sources stated" if n is None else f"{n:,} sources"
            typer.echo(f"  {part:6} {rows:9,} rows   {sources:18} {facts['sha256'][:12]}")
        for overlap in shared:
            typer.secho(f"  {overlap}", fg="red" if overlap else None)
    if any(shared):
        raise typer.Exit(1)


def sanity(
    task: "Component",
    fusion: Annotated[
        str | None, typer.Option(help="A fusion, or only-<modality>; else concat, or the task's.")
    ] = None,
    encoder: Annotated[list[str] | None, typer.Option(help="MODALITY=NAME.")] = None,
    head: Annotated[str, typer.Option()] = "mlp",
    objective: Annotated[str | None, typer.Option(help="Else plain, or the task's.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many permutations.")] = 5,
    set_: Set = None,
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Train on permuted labels: the score must fall to chance; exit code 1 if it does not."""
    from dataclasses import asdict

    import torch

    from mmbench.cli.described import spec_of
    from mmbench.plugins import load_plugins
    from mmbench.sanity import fall_to_chance
    from mmbench.trial import Workbench, device_named

    torch.set_num_threads(threads)
    plugins = load_plugins()
    spec = spec_of(task, fusion, names(encoder), head, objective, set_ or [], plugins)
    found = fall_to_chance(spec, range(seeds), plugins, Workbench(device_named(device)))
    if as_json:
        print_json([asdict(fallen) for fallen in found])
    else:
        typer.echo(f"{task.name}, {spec.fusion_label}, trained on permuted labels {seeds} times")
        for fallen in found:
            _show(fallen)
    if not all(fallen.sane for fallen in found):
        raise typer.Exit(1)


def _show(fallen: "Fallen") -> None:
    score = fallen.score
    verdict = "at chance" if fallen.sane else "ABOVE CHANCE: labels reach the model some other way"
    typer.secho(
        f"  {fallen.part:5} {score.mean:.4f} [{score.low:.4f}, {score.high:.4f}]   "
        f"chance {fallen.chance:.4f}   {verdict}",
        fg=None if fallen.sane else "red",
    )
