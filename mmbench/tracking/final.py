"""A final evaluation as a run: figures, spec, environment, pictures and the model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mmbench.spec import digest
from mmbench.tracking.pictures import confusion_picture, curves_picture
from mmbench.tracking.query import FINAL, STUDY, search
from mmbench.tracking.records import curve_metrics, flat, log, numbers
from mmbench.tracking.reliability_picture import reliability_picture

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

Curves = Sequence[Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What is logged of a final evaluation."""

    row: Mapping[str, Any]
    """The row's dictionary."""
    curves: Curves = ()
    """By seed, a list of ``epoch``, ``train_loss``, ``score``; empty if nothing was trained."""
    confusion: Sequence[Sequence[int]] | None = None
    """Counts, true class by predicted class."""
    labels: Sequence[str] = ()
    reliability: Mapping[str, Any] | None = None
    """The bins of ``mmbench.evaluation.reliability``."""
    model: Path | None = None
    """The folder of a trained model."""
    predictions: Path | None = None


def find(client: MlflowClient, experiment: str, row: Mapping[str, Any]) -> str | None:
    """The run that already holds this very row."""
    query = f"{FINAL} AND tags.`mmbench.digest` = '{digest(row)}'"
    runs = search(client, [experiment], query)
    return runs[0].info.run_id if runs else None


def write(client: MlflowClient, experiment: str, evaluation: Evaluated) -> str:
    """Make the run; it counts as final only when the last file is in place."""
    row = evaluation.row
    run = client.create_run(experiment, run_name=f"{row['fusion']} {row['id']}")
    run_id = str(run.info.run_id)
    try:
        curves = _curve_metrics(row, evaluation.curves)
        log(client, run_id, _metrics(row), curves, _params(row), _tags(row))
        with TemporaryDirectory() as temporary:
            _write_documents(Path(temporary), row)
            _draw(Path(temporary), evaluation)
            client.log_artifacts(run_id, temporary)
        if evaluation.model is not None:
            client.log_artifacts(run_id, str(evaluation.model), "model")
        if evaluation.predictions is not None:
            client.log_artifact(run_id, str(evaluation.predictions))
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")
    return run_id


def _draw(folder: Path, evaluation: Evaluated) -> None:
    """The pictures that the evaluation has the figures for."""
    row, bins = evaluation.row, evaluation.reliability
    if evaluation.curves:
        curves_picture(evaluation.curves, row["seeds"], row["metric"], folder / "curves.png")
    if evaluation.confusion is not None:
        confusion_picture(evaluation.confusion, evaluation.labels, folder / "confusion.png")
    if bins is not None:
        (folder / "reliability.json").write_text(json.dumps(bins, indent=2) + "\n")
        reliability_picture(bins, folder / "reliability.png")


def _metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """Quality with its interval, per slice, the gain, and every number at the row's top level."""
    metrics = numbers({k: v for k, v in row.items() if k != "schema"})
    for name, quality in row["quality"].items():
        interval = {f"{name}_{end}": quality[end] for end in ("low", "high")}
        metrics |= {name: quality["mean"]} | numbers(interval)  # not every metric has an interval
    for grouping, parts in row["slices"].items():
        for value, part in parts.items():
            metrics[_safe(f"{row['metric']}.{grouping}.{value}")] = part["score"]
    metrics[f"validation_{row['metric']}"] = row["validation"]["mean"]
    if gain := row["gain"]:
        metrics |= {f"gain_{end}": gain[end] for end in ("mean", "low", "high")}
    return metrics


def _curve_metrics(row: Mapping[str, Any], curves: Curves) -> list[Metric]:
    if not curves:
        return []
    return [
        metric
        for seed, curve in zip(row["seeds"], curves, strict=True)
        for metric in curve_metrics(curve, f".seed_{seed}")
    ]


def _params(row: Mapping[str, Any]) -> dict[str, str]:
    spec = {k: v for k, v in row["spec"].items() if k != "seed"}
    seeds = " ".join(map(str, row["seeds"]))
    return flat(spec) | {"seeds": seeds, "hardware": row["hardware"]}


def _tags(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "mmbench.kind": "final",
        "mmbench.row": row["id"],
        STUDY: row["search"].get("study") or "",
        "mmbench.digest": digest(row),
        "mmbench.task": row["task"],
        "mmbench.task_version": row["task_version"],
        "mmbench.reference": row["reference"],
        "mmbench.created": row["created"],
        "mmbench.spec": row["spec"],
        "mmbench.environment": row["environment"],
    }


def _write_documents(folder: Path, row: Mapping[str, Any]) -> None:
    documents = {"row": row, "spec": row["spec"], "environment": row["environment"]}
    for name, document in documents.items():
        text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _safe(name: str) -> str:
    """A metric's name with only what MLflow allows in one, and no folders of it."""
    return "".join(c if c.isalnum() or c in "_-. " else "-" for c in name)[:250]
