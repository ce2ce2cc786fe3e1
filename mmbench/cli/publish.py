"""``mmbench publish``: from a run of this machine to a row on the boards."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from mmbench.cli.options import BOARDS, OUT, AsJson, Boards, Out
from mmbench.cli.output import print_json
from mmbench.errors import InvalidParameter, UnknownName, did_you_mean

if TYPE_CHECKING:
    from mmbench.leaderboard.row import Row

    Found = list[tuple[Row, Path | None]]
    """Rows, each with the folder of its predictions."""


def publish(
    run: Annotated[
        str, typer.Argument(help="A study, an MLflow run, or a folder under --out: finals, model.")
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a row that has other figures by now.")
    ] = False,
    out: Out = OUT,
    leaderboards: Boards = BOARDS,
    as_json: AsJson = False,
) -> None:
    """Write the rows of a run, with their predictions, into the boards, and build these anew.

    What `mmbench verify` would not accept is left out, named, with exit code 1.
    """
    from mmbench.cli.board import write_rows

    found = _find(run, out)
    refused = {**_invalid(found), **({} if replace else _taken(found, leaderboards))}
    good = [(row, folder) for row, folder in found if row.id not in refused]
    write_rows(leaderboards, [row for row, _ in good], {row.id: place for row, place in good})
    for row, _ in found:
        if row.id in refused:
            typer.secho(f"refused  {row.id} {row.fusion}: {refused[row.id]}", fg="red", err=True)
        elif not as_json:
            typer.echo(f"{leaderboards / row.task / row.id}.json   {row.fusion}, {row.level}")
    if as_json:
        document = {"published": [row.id for row, _ in good], "refused": refused}
        print_json(document)
    if refused:
        raise typer.Exit(1)


def _find(run: str, out: Path) -> "Found":
    """A folder, a study by its name, or an MLflow run by its id."""
    from mmbench.leaderboard.kept import kept_rows

    for folder in (Path(run), out / run):
        if run and folder.is_dir():
            return list(kept_rows(folder))
    if re.fullmatch(r"[0-9a-f]{32}", run):
        return _of_mlflow(run, out)
    studies = sorted(f.parent.name for f in out.glob("*/finals"))
    raise UnknownName(
        f"There is no run {run!r}: it is no folder, no study under {out} and no MLflow run id."
        f"{did_you_mean(run, studies)} Studies: {', '.join(studies) or 'none'}."
    )


def _of_mlflow(run_id: str, out: Path) -> "Found":
    from mmbench.campaign.places import Places
    from mmbench.leaderboard.row_text import row_from_dict
    from mmbench.tracking import Tracker

    tracker = Tracker(Places(out, out).tracking_uri, out / "artifacts")
    tags = tracker.run_tags(run_id)
    kind = tags.get("mmbench.kind")
    if kind == "search":
        return _find(tags["mmbench.study"], out)
    if kind != "final":
        raise InvalidParameter(
            f"The MLflow run {run_id} is a {kind or 'stranger'}: only final evaluations are scored "
            f"on test. Publish its study, the parent run, instead."
        )
    data, folder = tracker.row_of(run_id)
    return [(row_from_dict(data, f"MLflow run {run_id}"), folder)]


def _invalid(found: "Found") -> dict[str, str]:
    """By id, why `mmbench verify` would not accept the row."""
    from mmbench.leaderboard.row_files import write_row
    from mmbench.leaderboard.verify import verify
    from mmbench.plugins import load_plugins

    with TemporaryDirectory() as temporary:
        boards = Path(temporary)
        for row, folder in found:
            write_row(boards, row, folder)
        checked = verify([boards], load_plugins())
        return {c.row.id: "; ".join(c.problems) for c in checked if c.row and c.problems}


def _taken(found: "Found", boards: Path) -> dict[str, str]:
    """By id, which row of the boards has the same configuration but other figures."""
    from mmbench.leaderboard.row_files import read_row

    taken = {}
    for row, _ in found:
        file = boards / row.task / f"{row.id}.json"
        if file.exists() and (other := read_row(file)) != row:
            taken[row.id] = (
                f"{file} has other figures, of {other.hardware}, {other.created[:10]}. "
                f"Replace it with --replace, or keep this one under other --leaderboards."
            )
    return taken
