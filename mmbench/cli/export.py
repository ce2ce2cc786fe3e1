"""``mmbench export``: a row's model, to take away."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmbench.cli.options import BOARDS, OUT, AsJson, Boards, Device, Moved, task_settings
from mmbench.cli.output import print_json

if TYPE_CHECKING:
    from mmbench.exporting import Exported
    from mmbench.leaderboard.row import Row


def export(
    row: Annotated[
        str,
        typer.Argument(help="A row (its JSON file, or its id on a board), or a model's folder."),
    ],
    out: Annotated[Path, typer.Option(help="The new folder.")],
    int8: Annotated[
        bool, typer.Option("--int8", help="Linear layers in 8-bit whole numbers, for CPUs.")
    ] = False,
    prune: Annotated[
        float, typer.Option(min=0, max=0.99, help="The share of weights to set to zero.")
    ] = 0.0,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Also as ONNX, checked by running it.")
    ] = False,
    runs: Annotated[Path, typer.Option(help="Where models of searches and runs lie.")] = OUT,
    moved: Moved = None,
    device: Device = "cpu",
    leaderboards: Boards = BOARDS,
    as_json: AsJson = False,
) -> None:
    """Write a row's model to a folder: weights, spec, preprocessing, model card, compiled graph.

    The model is looked for under --runs and trained again if it is not there. What --int8 and
    --prune cost in quality, latency and size is measured and shown beside the original.
    """
    from mmbench.cli.explain import model_of
    from mmbench.cli.named_row import find_row
    from mmbench.compression import Compression
    from mmbench.exporting import export_model
    from mmbench.exporting.folder import check_free
    from mmbench.exporting.onnx_graph import check_packages
    from mmbench.leaderboard.row_files import read_row
    from mmbench.plugins import load_plugins

    check_free(out)
    if onnx:
        check_packages()
    plugins = load_plugins()
    folder = model_of(row, leaderboards, runs, device, plugins, task_settings(moved))
    known = None if Path(row).is_dir() else read_row(find_row(row, leaderboards))
    done = export_model(folder, out, plugins, known, Compression(prune, int8), onnx=onnx)
    if as_json:
        print_json(done.to_dict())
    else:
        _show(done, known)


def _show(done: "Exported", row: "Row | None") -> None:
    from mmbench.exporting.card import said, smaller
    from mmbench.exporting.graph import GRAPH
    from mmbench.exporting.onnx_graph import ONNX

    if done.figures:
        typer.echo("\n".join(smaller(done.figures, done.metric, row, done.figures_reason)) + "\n")
    typer.echo(f"{done.folder}: {said(GRAPH, done.graph)}")
    if done.onnx is not None:
        typer.echo(f"{done.folder}: {said(ONNX, done.onnx)}")
    typer.echo(f"mmbench predict {done.folder} --input new.csv")
