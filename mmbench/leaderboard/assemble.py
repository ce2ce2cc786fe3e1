"""From a final evaluation to the row that stands on a board."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any

import torch

from mmbench.evaluation.hardware import hardware_line
from mmbench.final import FinalEvaluation
from mmbench.leaderboard.by_class import MOST_CLASSES
from mmbench.leaderboard.diagnoses import Predictions
from mmbench.leaderboard.row import Row


def row_of(
    final: FinalEvaluation,
    search: Mapping[str, Any],
    environment: Mapping[str, Any],
    predictions: Predictions | None = None,
) -> Row:
    """Everything a reader needs to judge the evaluation, and to run it again."""
    spec, task = final.spec, final.resolved.task
    cost = dict(final.cost)
    whole = cost["latency"]["batch_1"]["whole"]
    return Row(
        id=spec.family,
        task=spec.task.name,
        task_version=final.resolved.dataset.version,
        encoders={m: c.name for m, c in spec.encoders.items()},
        fusion=spec.fusion_label,
        head=spec.head.name,
        objective=spec.objective.name,
        spec=spec.to_dict(),
        seeds=[s.spec.seed for s in final.seeds],
        metric=task.metric,
        higher_is_better=final.higher_is_better,
        quality={
            name: {
                "mean": fmean(per_seed),
                "low": interval.low if interval else None,
                "high": interval.high if interval else None,
                "per_seed": per_seed,
            }
            for name, (interval, per_seed) in final.quality.items()
        },
        slices={
            name: {
                value: {"rows": int(cell["rows"]), "score": cell["score"]}
                for value, cell in values.items()
            }
            for name, values in final.slices.items()
        },
        validation={
            "mean": fmean(s.validation for s in final.seeds),
            "per_seed": [s.validation for s in final.seeds],
        },
        latency_ms_p50=whole["ms_p50"],
        latency_ms_p90=whole["ms_p90"],
        latency_ms_p95=whole["ms_p95"],
        peak_memory_mib=cost["memory"]["batch_1"]["peak_memory_mib"],
        parameters=cost["memory"]["parameters"],
        fusion_parameters=cost["memory"]["parameters_fusion"],
        flops=cost["flops"],
        train_seconds=fmean(s.seconds for s in final.seeds),
        cost=dict(cost),
        gain=None
        if final.gain is None
        else {
            "over": final.gain[0],
            "mean": final.gain[1].mean,
            "low": final.gain[1].low,
            "high": final.gain[1].high,
        },
        reference=_is_reference(final),
        optimum=task.optimum,
        search=dict(search),
        hardware=hardware_line(cost["hardware"], torch.device(cost["device"])),
        environment={**environment, "hardware": cost["hardware"]},
        created=cost["measured"],
        splits=None if final.seeds[0].splits is None else dict(final.seeds[0].splits),
        predictions=predictions,
        target=task.target,
        **_by_class(final),
        **final.diagnoses,  # type: ignore[arg-type]  # plain JSON; write_row checks its shape
    )


def _by_class(final: FinalEvaluation) -> dict[str, Any]:
    """Who is taken for whom, where classes are few enough to be shown, and calibration."""
    outputs = final.resolved.task.outputs
    few = final.confusion is not None and len(outputs) <= MOST_CLASSES
    return {
        "outputs": list(outputs) if few else None,
        "confusion": final.confusion if few else None,
        "reliability": final.reliability,
    }


def _is_reference(final: FinalEvaluation) -> bool:
    return final.resolved.fusion.offered == "baseline" or final.spec.fusion.name == "concat"
