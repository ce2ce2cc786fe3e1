"""``mmbench export`` and ``mmbench predict``: a row's model, taken away and used."""

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmbench.cli.options import BOARDS, OUT, AsJson, Boards, Device, Moved, task_settings

if TYPE_CHECKING:
    from mmbench.exporting import Exported
    from mmbench.leaderboard.row import Row
    from mmbench.predicting import Prediction, Predictor, Sample, Times


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
    from mmbench.exporting.onnx_graph import check_packages
    from mmbench.leaderboard.row_files import read_row
    from mmbench.plugins import load_plugins

    if onnx:
        check_packages()
    plugins = load_plugins()
    folder = model_of(row, leaderboards, runs, device, plugins, task_settings(moved))
    known = None if Path(row).is_dir() else read_row(find_row(row, leaderboards))
    done = export_model(folder, out, plugins, known, Compression(prune, int8), onnx=onnx)
    if as_json:
        typer.echo(json.dumps(done.to_dict(), indent=2))
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


def predict(
    model: Annotated[Path, typer.Argument(help="The folder of an exported or saved model.")],
    input_: Annotated[
        Path, typer.Option("--input", help="Samples: CSV, TSV, Parquet or JSON lines.")
    ],
    output: Annotated[Path | None, typer.Option(help="A CSV file; else printed.")] = None,
    root: Annotated[
        Path | None, typer.Option(help="Where paths in the input start; else its own folder.")
    ] = None,
    timed: Annotated[
        bool, typer.Option("--time", help="Also say how long one sample takes, end to end.")
    ] = False,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Predict every row of a table with a model; columns it does not know are left alone."""
    from mmbench.files import write_whole
    from mmbench.predicting import load_model
    from mmbench.trial import device_named

    predictor, folder = load_model(model, device_named(device).type), root or input_.parent
    samples = _samples(input_, predictor)
    found = predictor.predict_all(samples, folder)
    if timed:
        _show_times(predictor.times([s for s in samples if predictor.reads(s)], folder))
    if as_json:
        typer.echo(json.dumps([asdict(f) for f in found], indent=2, ensure_ascii=False))
    elif output is None:
        sys.stdout.write(_as_csv(found))
    else:
        write_whole(output, _as_csv(found))
        typer.echo(f"{len(found):,} predictions in {output}")


def _samples(input_: Path, predictor: "Predictor") -> "list[Sample]":
    """The rows of a table; what is missing in them is said, as ``inspect`` says it."""
    import pandas as pd

    from mmbench.errors import UnusableData
    from mmbench.tables.findings import counted, rows_named
    from mmbench.tables.read import read_table

    table, findings = read_table(input_)
    absent = [name for name in predictor.inputs if name not in table]
    if len(absent) == len(predictor.inputs):
        raise UnusableData(
            f"{input_} has no column that the model reads. It reads: {', '.join(absent)}."
        )
    for finding in (*findings, *predictor.findings(table)):
        typer.echo(f"{finding.where}: {finding.says}", err=True)
    if absent:
        typer.echo(f"not in {input_}, taken as missing: {', '.join(absent)}", err=True)
    there = table[[name for name in predictor.inputs if name in table]].astype(object)
    samples: list[Sample] = there.where(pd.notna(there), None).to_dict("records")  # type: ignore[assignment]
    empty = [row for row, sample in enumerate(samples) if not predictor.reads(sample)]
    if len(empty) == len(samples):
        raise UnusableData(
            f"{input_} has no value that the model reads in any row: there is nothing to predict "
            f"from. It reads: {', '.join(predictor.inputs)}."
        )
    if empty:
        says = f"{counted(len(empty), 'row')} without a value that the model reads"
        typer.echo(f"{input_}: {says}, not predicted: {rows_named(empty)}", err=True)
    return samples


def _as_csv(found: "Sequence[Prediction]") -> str:
    """A row for each sample; what is not predicted is empty."""
    import io

    from mmbench.predicting import EMPTY

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    named = next(list(one.probabilities) for one in found if one != EMPTY)
    writer.writerow(["row", "prediction", *(f"p({name})" for name in named)])
    for number, one in enumerate(found, start=1):
        value = "|".join(one.value) if isinstance(one.value, tuple) else one.value
        chances = [f"{one.probabilities[name]:.6f}" if one.probabilities else "" for name in named]
        writer.writerow([number, value, *chances])
    return text.getvalue()


def _show_times(times: "Times") -> None:
    whole, read, model = (times.stages[stage]["ms_p50"] for stage in ("whole", "read", "model"))
    typer.echo(
        f"one sample: {whole:.2f} ms (p50 of {times.stages['whole']['requests']:.0f}), {read:.2f} "
        f"of them to read it and {model:.2f} in the model, which is what a board calls latency; "
        f"the first took {times.first_ms:.0f} ms",
        err=True,
    )
