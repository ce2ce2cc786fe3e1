"""``mmbench predict``: what a model says of the rows of a table."""

import csv
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmbench.cli.options import AsJson, Device
from mmbench.cli.output import print_json

if TYPE_CHECKING:
    from mmbench.predicting import Prediction, Predictor, Sample, Times
    from mmbench.tables.samples import Unreadable


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
    from mmbench.predicting import EMPTY, load_model
    from mmbench.tables.samples import Unreadable
    from mmbench.trial import device_named

    predictor, folder = load_model(model, device_named(device).type), root or input_.parent
    samples = _samples(input_, predictor)
    broken, beyond = Unreadable(), list[int]()
    with redirect_stdout(sys.stderr):  # stdout is for predictions, whatever a plugin prints
        found = predictor.predict_all(samples, folder, broken.add, beyond.append)
    for finding in broken.findings():
        typer.echo("\n  ".join([f"{finding.where}: {finding.says}", *finding.items]), err=True)
    _say_empty(input_, found, broken, beyond, predictor)
    if timed:
        whole = set(range(len(samples))) - broken.rows
        readable = [samples[row] for row in sorted(whole) if found[row] != EMPTY]
        _show_times(predictor.times(readable, folder) if readable else None)
    if output is not None:
        write_whole(output, _as_csv(found))
    if as_json:
        print_json([asdict(f) for f in found])
    elif output is None:
        sys.stdout.write(_as_csv(found))
    else:
        typer.echo(f"{len(found):,} predictions in {output}")


def _samples(input_: Path, predictor: "Predictor") -> "list[Sample]":
    """The rows of a table; what is missing in them is said, as ``inspect`` says it."""
    import pandas as pd

    from mmbench.errors import UnusableData

    table, findings = predictor.read_samples(input_)
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
    return samples


def _say_empty(
    input_: Path,
    found: "Sequence[Prediction]",
    broken: "Unreadable",
    beyond: Sequence[int],
    predictor: "Predictor",
) -> None:
    """Which rows are left empty; ``UnusableData`` if all are."""
    from mmbench.errors import UnusableData
    from mmbench.predicting import EMPTY
    from mmbench.tables.findings import counted, rows_named

    left = {row for row, one in enumerate(found) if one == EMPTY}
    empty = sorted(left - broken.rows - set(beyond))
    if beyond:
        says = f"{counted(len(beyond), 'row')} with a number too far from those trained on"
        typer.echo(f"{input_}: {says}, not predicted: {rows_named(beyond)}", err=True)
    if len(empty) == len(found):
        raise UnusableData(
            f"{input_} has no value that the model reads in any row: there is nothing to predict "
            f"from. It reads: {', '.join(predictor.inputs)}."
        )
    if len(left) == len(found):
        why = "predicted" if beyond else "read"
        raise UnusableData(f"Nothing in {input_} can be {why}: there is nothing to predict from.")
    if empty:
        says = f"{counted(len(empty), 'row')} without a value that the model reads"
        typer.echo(f"{input_}: {says}, not predicted: {rows_named(empty)}", err=True)


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


def _show_times(times: "Times | None") -> None:
    if times is None:
        typer.echo("no row can be read as a whole: none is timed", err=True)
        return
    whole, read, model = (times.stages[stage]["ms_p50"] for stage in ("whole", "read", "model"))
    typer.echo(
        f"one sample: {whole:.2f} ms (p50 of {times.stages['whole']['requests']:.0f}), {read:.2f} "
        f"of them to read it and {model:.2f} in the model, which is what a board calls latency; "
        f"the first took {times.first_ms:.0f} ms",
        err=True,
    )
