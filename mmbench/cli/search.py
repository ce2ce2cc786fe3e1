"""``mmbench search``: the main job."""

import time
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
    Storage,
    Together,
    names,
    settings,
)
from mmbench.cli.output import print_json, print_places, terminal

if TYPE_CHECKING:
    from mmbench.campaign.job import Campaign
    from mmbench.leaderboard.row import Row
    from mmbench.spec import Component

TRIALS, TIMEOUT_SECONDS = 48, 240.0


def search(
    task: "Component",
    trials: Annotated[int | None, typer.Option(min=1, help="Trials of the study in all.")] = TRIALS,
    timeout: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds for this call's search phase; 0: none."),
    ] = TIMEOUT_SECONDS,
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another study.")] = 0,
    device: Device = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; unasked, one for each core or GPU.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads per process.")] = 1,
    together: Together = TOGETHER,
    fusion: Annotated[
        list[str] | None, typer.Option(help="Only these fusions; `all`: every one there is.")
    ] = None,
    encoder: Annotated[
        list[str] | None, typer.Option(help="Only these encoders: NAME or MODALITY=NAME.")
    ] = None,
    head: Annotated[list[str] | None, typer.Option(help="Only these heads.")] = None,
    objective: Annotated[list[str] | None, typer.Option(help="Only these objectives.")] = None,
    max_latency_ms: Annotated[
        float | None, typer.Option(min=0, help="Limit on the latency of one request.")
    ] = None,
    max_memory_mib: Annotated[
        float | None, typer.Option(min=0, help="Limit on peak memory at batch 32.")
    ] = None,
    max_parameters: Annotated[
        int | None, typer.Option(min=0, help="Limit on what a model holds, encoders included.")
    ] = None,
    warm_start: Annotated[
        bool,
        typer.Option(
            "--warm-start", help="Try what was best in earlier searches of this or a similar task."
        ),
    ] = False,
    pareto: Annotated[
        bool, typer.Option("--pareto", help="Search quality and latency at once (no pruning).")
    ] = False,
    top_k: Annotated[int, typer.Option(min=1, help="Configurations evaluated on test.")] = 3,
    seeds: Annotated[int, typer.Option(min=1, help="Fresh seeds for each of them.")] = 3,
    diagnoses: Diagnoses = True,
    storage: Storage = None,
    prepare: Annotated[
        bool,
        typer.Option(
            "--prepare", help="Make the study, print the command of its workers, and end."
        ),
    ] = False,
    set_: Set = None,
    out: Out = OUT,
    leaderboards: Boards = BOARDS,
    as_json: AsJson = False,
) -> None:
    """Search the best encoder × fusion × head for a task, evaluate the winners on test.

    The same command continues an interrupted search.
    """
    from mmbench.campaign.earlier import earlier_studies
    from mmbench.campaign.job import Campaign
    from mmbench.campaign.places import Crew, Places
    from mmbench.cli.display import display
    from mmbench.plugins import load_plugins
    from mmbench.resolve import resolve_dataset
    from mmbench.search.candidates import find_candidates
    from mmbench.search.placement import default_workers
    from mmbench.search.request import SearchRequest, study_name
    from mmbench.search.warm_start import warmed
    from mmbench.search.worker import Budget
    from mmbench.spec import train_spec
    from mmbench.trial import device_named

    plugins, on = load_plugins(), device_named(device).type
    given = settings(set_, ("task", "train"))
    component, dataset = resolve_dataset(task.but(given.get("task", {})), plugins)
    train_spec(given.get("train", {}))
    candidates = find_candidates(
        dataset.task, plugins, on,
        encoders=names(encoder), fusions=names(fusion), heads=names(head),
        objectives=names(objective),
    )  # fmt: skip
    request = SearchRequest(
        component, candidates, on, seed, pareto, max_latency_ms, max_memory_mib,
        given.get("train", {}), max_parameters, warm_start,
    )  # fmt: skip
    places = Places(out, leaderboards, storage)
    if warm_start:
        own = study_name(request, dataset.version, plugins)
        request = warmed(request, dataset, earlier_studies(places, own), plugins)
    deadline = time.time() + timeout if timeout and not prepare else None
    with display(quiet=as_json) as listener:
        campaign = Campaign(
            request,
            Budget(trials, deadline),
            places,
            Crew(workers or default_workers(on), threads, together),
            plugins,
            listener,
            top_k,
            seeds,
            diagnoses,
        )
        if prepare:
            _prepare(campaign)
            return
        listener.introduce(campaign)
        try:
            rows = campaign.run()
        except KeyboardInterrupt:
            listener.note("Stopped; what was finished is kept. The same command continues.")
            raise
    _report(campaign, rows, as_json=as_json)


def _prepare(campaign: "Campaign") -> None:
    """What to type on any machine, and afterwards here."""
    import shlex

    from mmbench.campaign.searching import prepare, worker_arguments
    from mmbench.installed.switches import named_paths

    campaign.places.check()
    prepare(campaign)
    files = [word for path in named_paths() for word in ("--plugin", path)]
    typer.echo(f"mmbench worker {shlex.join([*worker_arguments(campaign), *files])}")
    typer.echo("Then the same search without --prepare evaluates what they found.", err=True)


def _report(campaign: "Campaign", rows: "list[Row]", *, as_json: bool) -> None:
    """The board, where everything lies, and what to type next."""
    from mmbench.leaderboard.rank import rank
    from mmbench.leaderboard.row import public

    standings = rank(rows)
    if as_json:
        print_json([public(s.row) for s in standings])
        return
    from mmbench.leaderboard.headline import headline
    from mmbench.leaderboard.terminal import terminal_table

    console = terminal()
    console.print()
    console.print(terminal_table(standings, console.width))
    for line in headline([s.row for s in standings]):
        console.print(line)
    best, places = standings[0].row, campaign.places
    row = places.boards / best.task / f"{best.id}.json"
    model = _finals(campaign, chosen_by_validation(rows))[0] / "model"
    told = (
        ("rows and tables", places.boards / best.task),
        ("MLflow store", places.tracking_uri),
        ("best by validation", model),
        ("run the best row again", f"mmbench rerun {row}"),
        ("open the MLflow UI", "mmbench ui" + _unless(places.out, OUT, "--out")),
    )
    print_places(console, told)


def chosen_by_validation(rows: "list[Row]") -> "Row":
    """The model to use: test figures rank a board, but they must not choose. Ties: the smaller."""
    from mmbench.leaderboard.rank import on_validation

    return max(rows, key=lambda row: (on_validation(row), -row.parameters))


def _finals(campaign: "Campaign", row: "Row") -> list[Path]:
    """The folders of a row's seeds, the first seed first."""
    from mmbench.spec import spec_from_dict

    spec = spec_from_dict(row.spec)
    finals = campaign.places.finals(campaign.name)
    return [finals / spec.with_seed(seed).id for seed in row.seeds]


def _unless(path: Path, default: Path, option: str) -> str:
    return "" if path == default else f" {option} {path}"
