"""A final evaluation as a run: figures, spec, environment, pictures and the model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mmbench.spec import digest
from mmbench.tracking.pictures import confusion_picture, curves_picture
from mmbench.tracking.query import FINAL, search
from mmbench.tracking.records import curve_metrics, flat, log, numbers
from mmbench.tracking.reliability_picture import reliability_picture

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

Curves = Sequence[Sequence[Mapping[str, Any]]]


def find(client: MlflowClient, experiment: str, row: Mapping[str, Any]) -> str | None:
    """The run that already holds this very row."""
    query = f"{FINAL} AND tags.`mmbench.digest` = '{digest(row)}'"
    runs = search(client, [experiment], query)
    return runs[0].info.run_id if runs else None


def write(
    client: MlflowClient,
    experiment: str,
    row: Mapping[str, Any],
    curves: Curves,
    confusion: Sequence[Sequence[int]] | None,
    labels: Sequence[str],
    model_folder: Path | None,
    reliability: Mapping[str, Any] | None,
    predictions: Path | None,
) -> str:
    """Make the run; it counts as final only when the last file is in place."""
    run = client.create_run(experiment, run_name=f"{row['fusion']} {row['id']}")
    run_id = str(run.info.run_id)
    try:
        log(client, run_id, _metrics(row), _curve_metrics(row, curves), _params(row), _tags(row))
        with TemporaryDirectory() as temporary:
            folder = Path(temporary)
            _write_documents(folder, row)
            if curves:
                curves_picture(curves, row["seeds"], row["metric"], folder / "curves.png")
            if confusion is not None:
                confusion_picture(confusion, labels, folder / "confusion.png")
            if reliability is not None:
                (folder / "reliability.json").write_text(json.dumps(reliability, indent=2) + "\n")
                reliability_picture(reliability, folder / "reliability.png")
            client.log_artifacts(run_id, str(folder))
        if model_folder is not None:
            client.log_artifacts(run_id, str(model_folder), "model")
        if predictions is not None:
            client.log_artifact(run_id, str(predictions))
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")
    return run_id


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
