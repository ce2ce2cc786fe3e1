"""``mmbench compare``: the controlled comparison of fusions, or of training paradigms."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmbench.cli.options import (
    BOARDS,
    OUT,
    TOGETHER,
    AsJson,
    Boards,
    Device,
    Diagnoses,
    Out,
    Set,
    Together,
    names,
    settings,
    task_settings,
)
from mmbench.cli.output import print_json, print_places, terminal

if TYPE_CHECKING:
    from mmbench.comparison.job import Comparison, Outcome
    from mmbench.spec import Component

BUDGET = 8


def compare(
    task: "Component",
    fusions: Annotated[
        list[str] | None,
        typer.Option(help="These; `all`: every one there is. Default: those a search tries."),
    ] = None,
    objectives: Annotated[
        list[str] | None,
        typer.Option(help="Compare these training paradigms instead; `all`: every one there is."),
    ] = None,
    budget: Annotated[int, typer.Option(min=1, help="Tuning trials for each.")] = BUDGET,
    seeds: Annotated[int, typer.Option(min=2, help="Fresh seeds for each.")] = 3,
    encoder: Annotated[
        list[str] | None, typer.Option(help="The encoders of all: MODALITY=NAME.")
    ] = None,
    head: Annotated[str | None, typer.Option(help="The head of all.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another comparison.")] = 0,
    device: Device = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; one per core on a CPU, one on a GPU.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads per process.")] = 1,
    together: Together = TOGETHER,
    diagnoses: Diagnoses = False,
    name: Annotated[
        str | None, typer.Option(help="Folder of the result; default TASK-fusions or -objectives.")
    ] = None,
    set_: Set = None,
    out: Out = OUT,
    leaderboards: Boards = BOARDS,
    as_json: AsJson = False,
) -> None:
    """Compare fusions with all else equal: encoders, head, batches, tuning budget, fresh seeds.

    The same command continues an interrupted comparison; a larger budget adds trials.
    """
    from dataclasses import replace

    from mmbench.campaign.places import Crew, Places
    from mmbench.cli.display import display
    from mmbench.comparison.contestants import (
        ComparisonRequest,
        find_contestants,
        idle_contestants,
    )
    from mmbench.comparison.job import Comparison
    from mmbench.comparison.page import write_comparison
    from mmbench.plugins import load_plugins
    from mmbench.resolve import resolve_dataset
    from mmbench.search.idle import idle_note
    from mmbench.search.placement import default_workers
    from mmbench.spec import train_spec
    from mmbench.trial import device_named

    plugins, on = load_plugins(), device_named(device).type
    component, dataset = resolve_dataset(task.but(task_settings(set_)), plugins)
    sections = ("task", "train", *(f"encoder.{m}" for m in dataset.task.modalities))
    given = settings(set_, sections)
    train_spec(given.get("train", {}))
    contestants, encoders, dropped = find_contestants(
        dataset.task, plugins, on,
        encoders=names(encoder), fusions=names(fusions), heads=[head] if head else [],
        objectives=names(objectives),
    )  # fmt: skip
    encoders = {m: replace(e, params=given.get(f"encoder.{m}", {})) for m, e in encoders.items()}
    request = ComparisonRequest(
        component, contestants, encoders, on, budget, seeds, seed, given.get("train", {})
    )
    with display(quiet=as_json) as listener:
        crew = Crew(workers or default_workers(on), threads, together)
        places = Places(out, leaderboards)
        comparison = Comparison(request, places, crew, plugins, listener, diagnoses)
        listener.introduce_comparison(comparison, dropped)
        if labels := idle_contestants(request, plugins):
            listener.note(idle_note(labels))
        try:
            outcome = comparison.run()
        except KeyboardInterrupt:
            listener.note("Stopped; what was finished is kept. The same command continues.")
            raise
    kind = "objectives" if objectives else "fusions"
    folder = leaderboards / "comparisons" / (name or f"{component.name}-{kind}")
    of_task = {**task.params, **task.places}
    said = [f"task.{name}={value}" for name, value in of_task.items()] + (set_ or [])
    command = _command(
        task=[task.name], fusions=fusions, objectives=objectives, budget=[budget], seeds=[seeds],
        encoder=encoder, head=[head] if head else None, seed=[seed] if seed else None, set=said,
    )  # fmt: skip
    page = write_comparison(folder, outcome, dropped, command)
    _report(comparison, outcome, page, as_json=as_json)


def _command(**options: "list[str] | list[int] | None") -> list[str]:
    """What makes the same comparison again."""
    given = [(name, value) for name, values in options.items() for value in values or ()]
    return ["mmbench", "compare", *(part for n, v in given for part in (f"--{n}", str(v)))]


def _report(comparison: "Comparison", outcome: "Outcome", page: Path, *, as_json: bool) -> None:
    """The table, what it says, and where everything lies."""
    if as_json:
        print_json(json.loads((page.parent / "comparison.json").read_text()))
        return
    from rich.text import Text

    from mmbench.comparison.cells import headline
    from mmbench.comparison.terminal import terminal_table

    console = terminal()
    console.print()
    console.print(terminal_table(outcome, console.width))
    for line in headline(outcome):
        console.print(line)
    for label, reason in outcome.failures.items():
        console.print(Text.assemble(("failed", "red"), f" {label}: {reason}"))
    places = (
        ("page and pictures", page),
        ("rows", page.parent / "rows"),
        ("MLflow store", comparison.places.tracking_uri),
    )
    print_places(console, places)
