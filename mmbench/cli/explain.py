"""``mmbench explain``: why a model says what it says of one test sample."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmbench.cli.named_row import find_row
from mmbench.cli.options import BOARDS, OUT, AsJson, Boards, Device, Moved, Out, task_settings
from mmbench.cli.output import print_json, terminal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmbench.plugins import Plugins
    from mmbench.space import Value


def explain(
    row: Annotated[
        str,
        typer.Argument(help="A row (its JSON file, or its id on a board), or a model's folder."),
    ],
    sample: Annotated[int, typer.Option(help="Which row of the test part, from 0.")] = 0,
    moved: Moved = None,
    device: Device = "cpu",
    out: Out = OUT,
    leaderboards: Boards = BOARDS,
    as_json: AsJson = False,
) -> None:
    """Say why a model answers as it does on one test sample.

    Which modality, and which words, pixels, fields or steps. A row's model is looked for under
    --out and trained again if it is not there. A picture and the figures go to OUT/explanations.
    """
    from mmbench.explain.explanation import explain as explained
    from mmbench.explain.pictures import picture
    from mmbench.explain.subject import subject
    from mmbench.files import write_whole
    from mmbench.plugins import load_plugins
    from mmbench.trial import device_named

    plugins = load_plugins()
    places = task_settings(moved)
    folder = model_of(row, leaderboards, out, device, plugins, places)
    found = explained(subject(folder, sample, plugins, device_named(device), places))
    document = found.to_dict()
    place = out / "explanations" / f"{found.subject.resolved.spec.id}-{sample}"
    text = json.dumps(document, indent=2, ensure_ascii=False)
    write_whole(place / "explanation.json", text + "\n")
    drawn = picture(found, place / "explanation.png")
    if as_json:
        print_json(document)
        return
    from mmbench.explain.terminal import told

    terminal().print(told(found))
    typer.echo(f"\npicture  {drawn}\nmodel    {folder}")


def model_of(
    row: str,
    boards: Path,
    out: Path,
    device: str,
    plugins: "Plugins",
    places: "Mapping[str, Value]",
) -> Path:
    """The folder of a row's model, trained again if there is none under ``out``.

    ``places``: where its data lie now.
    """
    from mmbench.explain.locate import folder_model, row_model
    from mmbench.leaderboard.row import moved
    from mmbench.leaderboard.row_files import read_row
    from mmbench.trial import Workbench, device_named

    if Path(row).is_dir():
        return folder_model(Path(row))
    known = moved(read_row(find_row(row, boards)), places)

    def training() -> None:
        typer.echo(f"There is no model of {known.id} under {out}: it is trained again.", err=True)

    def on_epoch(epoch: int, values: dict[str, float]) -> None:
        typer.echo(f"epoch {epoch + 1:3}   validation {values['score']:.4f}", err=True)

    bench = Workbench(device_named(device))
    return row_model(known, out, plugins, bench, training=training, on_epoch=on_epoch)
