"""``mmbench leaderboard`` and ``mmbench ui``: what has been found so far."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmbench.cli.across import show_across
from mmbench.cli.options import BOARDS, OUT, AsJson, Boards, Out
from mmbench.cli.output import print_json, terminal
from mmbench.errors import (
    InvalidParameter,
    InvalidSpec,
    StorageError,
    UnknownName,
    did_you_mean,
    visible,
)

if TYPE_CHECKING:
    from mmbench.leaderboard.row import Row

SORTS = ("accuracy", "latency", "memory", "parameters")


def leaderboard(
    task: Annotated[str | None, typer.Option(help="Only this task.")] = None,
    sort: Annotated[str, typer.Option(help=" | ".join(SORTS))] = "accuracy",
    mlflow: Annotated[
        bool, typer.Option("--mlflow", help="Build it from the MLflow runs under --out.")
    ] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Also write the rows and tables under --leaderboards.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="Also write the boards as web pages into this folder.")
    ] = None,
    across: Annotated[
        bool, typer.Option("--across", help="Rank methods over all tasks: Elo, win rates, fronts.")
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Rows from this folder: boards, or leaderboards/comparisons."),
    ] = None,
    out: Out = OUT,
    leaderboards: Boards = BOARDS,
    as_json: AsJson = False,
) -> None:
    """Show the rows of a task, or of all; from the committed rows, or from this machine's runs."""
    _check(sort, source, across=across, mlflow=mlflow)
    predictions: dict[str, Path | None] = {}
    if source is not None:
        rows, problems = _from(source, task)
    elif mlflow:
        rows, predictions, problems = _tracked(out, task)
    else:
        rows, problems = _committed(leaderboards, task)
    for problem in problems:
        typer.secho(visible(problem), fg="yellow", err=True)
    if write and (mlflow or not across):
        write_rows(leaderboards, rows, predictions)
    if html is not None:
        _write_site(html, rows, leaderboards, task)
    if across:
        show_across(rows, leaderboards if write else None, as_json=as_json)
    else:
        _show(rows, task, sort, as_json=as_json)


def _check(sort: str, source: Path | None, *, across: bool, mlflow: bool) -> None:
    if sort not in SORTS:
        raise InvalidParameter(
            f"--sort takes {', '.join(SORTS)}; got {sort!r}.{did_you_mean(sort, SORTS)}"
        )
    if across and sort != SORTS[0]:
        raise InvalidParameter(
            f"--across orders by average rank; leave out --sort {sort}, or --across."
        )
    if source is not None and (mlflow or not across):
        raise InvalidParameter(
            "--from names the rows of --across, instead of --mlflow; other folders of boards are "
            "shown by --leaderboards."
        )


def _show(rows: "list[Row]", task: str | None, sort: str, *, as_json: bool) -> None:
    """The board of each task as a table, or its rows as JSON."""
    from mmbench.leaderboard.rank import rank
    from mmbench.leaderboard.row import public

    standings = rank(rows, sort)
    if as_json:
        print_json([public(s.row) for s in standings])
        return
    from rich.text import Text

    from mmbench.leaderboard.headline import headline
    from mmbench.leaderboard.terminal import terminal_table

    console = terminal()
    for name in dict.fromkeys(s.row.task for s in standings):
        own = [s for s in standings if s.row.task == name]
        if task is None:
            console.print(Text(f"\n{name}", style="bold"))
        console.print(terminal_table(own, console.width))
        for line in headline([s.row for s in own]):
            console.print(line)


def _tracked(out: Path, task: str | None) -> "tuple[list[Row], dict[str, Path | None], list[str]]":
    """Rows of this machine's runs, the folders of their predictions, and what cannot be read."""
    from mmbench.campaign.places import Places
    from mmbench.leaderboard.row_text import row_from_dict
    from mmbench.tracking import Tracker

    tracker = Tracker(Places(out, out).tracking_uri, out / "artifacts")
    found, problems = tracker.rows_of(tracker.final_runs(task))
    rows, predictions = [], {}
    for run_id, (data, folder) in found.items():
        try:
            row = row_from_dict(data, f"MLflow run {run_id}")
        except InvalidSpec as error:
            problems.append(str(error))
            continue
        rows.append(row)
        predictions[row.id] = folder
    return rows, predictions, problems


def write_rows(boards: Path, rows: "Sequence[Row]", predictions: Mapping[str, Path | None]) -> None:
    """These rows with their predictions, and the table and CSV of every task they belong to."""
    from mmbench.leaderboard.render import write_board
    from mmbench.leaderboard.row_files import read_rows, write_row

    for row in rows:
        write_row(boards, row, predictions.get(row.id))
    for task in sorted({row.task for row in rows}):
        page, _ = write_board(boards, read_rows(boards / task)[0])
        typer.echo(f"wrote {page.parent}", err=True)


def _write_site(site: Path, rows: "list[Row]", boards: Path, task: str | None) -> None:
    """The pages of these rows, and of the comparisons on their tasks."""
    from mmbench.leaderboard.site.build import write_site
    from mmbench.leaderboard.site.comparison_file import read_comparisons
    from mmbench.leaderboard.sources import COMPARISONS

    comparisons, problems = read_comparisons(boards / COMPARISONS)
    for problem in problems:
        typer.secho(visible(problem), fg="yellow", err=True)
    wanted = [c for c in comparisons if task is None or c.task == task]
    typer.echo(f"wrote {write_site(site, rows, wanted, boards)}", err=True)


def _from(folder: Path, task: str | None) -> "tuple[list[Row], list[str]]":
    """The rows of a folder of boards or comparisons."""
    from mmbench.leaderboard.sources import rows_under

    rows, problems = rows_under(folder)
    tasks = sorted({row.task for row in rows})
    if task is not None and task not in tasks:
        raise UnknownName(
            f"{folder} has no rows of {task!r}.{did_you_mean(task, tasks)} "
            f"Tasks: {', '.join(tasks)}."
        )
    return [row for row in rows if task in (None, row.task)], problems


def _committed(boards: Path, task: str | None) -> "tuple[list[Row], list[str]]":
    from mmbench.leaderboard.row_files import read_rows
    from mmbench.leaderboard.sources import board_folders

    tasks = [folder.name for folder in board_folders(boards)]
    if not tasks:
        raise StorageError(
            f"There are no boards under {boards}. `mmbench search --task vqa` makes one; "
            f"--leaderboards names another folder."
        )
    if task is not None and task not in tasks:
        raise UnknownName(
            f"There is no board of {task!r}.{did_you_mean(task, tasks)} Boards: {', '.join(tasks)}."
        )
    rows, problems = [], []
    for name in [task] if task else tasks:
        found, wrong = read_rows(boards / name)
        rows += found
        problems += wrong
    if not rows:
        raise StorageError(f"No row under {boards} can be read: {'; '.join(problems)}")
    return rows, problems


def ui(
    out: Out = OUT,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Where the UI listens, on this machine.")
    ] = 5000,
) -> None:
    """Open the MLflow UI on the runs under --out."""
    from mmbench.campaign.places import Places
    from mmbench.tracking import ui_command
    from mmbench.tracking.store import check_exists, check_readable, storage

    uri = Places(out, out).tracking_uri
    check_exists(uri)
    with storage(uri):
        check_readable(uri)
    typer.echo(f"http://127.0.0.1:{port}   (Ctrl-C ends it)")
    ended = subprocess.run([*ui_command(uri), "--port", str(port)], check=False)
    if ended.returncode:
        raise typer.Exit(ended.returncode)
