"""What a row must say, worked out again from its spec, its cost document and its predictions.

The row is assembled once more by the code that made it, so that nothing is checked by a second,
slightly different formula.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmbench.evaluation.estimates import Interval
from mmbench.final import FinalEvaluation, SeedResult, evaluate_family
from mmbench.leaderboard.assemble import row_of
from mmbench.leaderboard.row import ADDED, Row
from mmbench.plugins import Plugins
from mmbench.resolve import resolve
from mmbench.spec import spec_from_dict
from mmbench.types import Split

STATED = (
    "task", "task_version", "encoders", "fusion", "head", "objective", "metric",
    "higher_is_better", "quality", "slices", "validation", "latency_ms_p50", "latency_ms_p90",
    "latency_ms_p95", "peak_memory_mib", "parameters", "fusion_parameters", "flops", "gain",
    "reference", "optimum", "hardware", "created", "outputs", "confusion", "reliability", "target",
)  # fmt: skip
"""Fields that follow from the spec, the cost document and the predictions."""
ROUNDING = 1e-6
"""Relative: sums in another order on another machine."""


def from_predictions(
    row: Row, scores: Sequence[Tensor], single: "Single | None", test: Split, plugins: Plugins
) -> Row:
    """Every metric, interval and slice computed again; the gain too, if ``single`` is given.

    Without it the gain is taken as it stands.
    """
    alone = None if single is None else seeds_of(*single)
    final = evaluate_family(seeds_of(row, scores), alone, row.cost, test, plugins)
    restated = row_of(final, row.search, row.environment)
    return restated if single else replace(restated, gain=row.gain)


def from_spec(row: Row, plugins: Plugins) -> Row:
    """Without predictions: names and costs; quality, slices and gain are taken as they stand."""
    seeds = seeds_of(row, [torch.empty(0)] * len(row.seeds))
    quality = {name: (_interval(q), q["per_seed"]) for name, q in row.quality.items()}
    gain = None
    if row.gain is not None:
        gain = row.gain["over"], Interval(row.gain["mean"], row.gain["low"], row.gain["high"])
    final = FinalEvaluation(
        resolve(seeds[0].spec, plugins), seeds, quality, row.slices, row.confusion,  # type: ignore[arg-type]
        row.reliability, gain, row.cost, plugins.metrics[row.metric].higher_is_better, {},
    )  # fmt: skip
    return row_of(final, row.search, row.environment)


Single = tuple[Row, Sequence[Tensor]]
"""The row of a single modality, and its scores."""


def seeds_of(row: Row, scores: Sequence[Tensor]) -> list[SeedResult]:
    """The seeds of a row as its final evaluation had them, without models."""
    spec = spec_from_dict(row.spec)
    each = zip(row.seeds, scores, row.validation["per_seed"], strict=True)
    return [
        SeedResult(spec.with_seed(seed), Path(), own, validation, row.train_seconds, [])
        for seed, own, validation in each
    ]


def differences(stated: Row, restated: Row) -> list[str]:
    """Where the row says something else than it must: the field, its figure and the right one.

    Metrics that only one of them has (a plugin was added, or is gone) are left out, and fields
    that an older row lacks.
    """
    one, other = stated.to_dict(), restated.to_dict()
    common = one["quality"].keys() & other["quality"].keys()
    for row in (one, other):
        row["quality"] = {name: row["quality"][name] for name in sorted(common)}
    said = [name for name in STATED if not (name in ADDED and one[name] is None)]
    return [text for name in said for text in _differ(one[name], other[name], name)]


def with_ranges(stated: Row, restated: Row) -> Row:
    """The row with the ends of all its intervals as they follow; no mean is touched."""
    quality = dict(stated.quality)
    for name in quality.keys() & restated.quality.keys():
        follows = restated.quality[name]
        quality[name] = {**quality[name], "low": follows["low"], "high": follows["high"]}
    gain = stated.gain
    if gain is not None and restated.gain is not None:
        gain = {**gain, "low": restated.gain["low"], "high": restated.gain["high"]}
    return replace(stated, quality=quality, gain=gain)


def _differ(one: Any, other: Any, where: str) -> Iterator[str]:
    if isinstance(one, Mapping) and isinstance(other, Mapping) and one.keys() == other.keys():
        for key in one:
            yield from _differ(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from _differ(a, b, f"{where}.{i}")
    elif not _equal(one, other):
        yield f"{where} is {one!r}, but follows as {other!r}"


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=ROUNDING, abs_tol=ROUNDING)
    return bool(one == other)


def _interval(quality: Mapping[str, Any]) -> Interval | None:
    low, high = quality["low"], quality["high"]
    return None if low is None or high is None else Interval(quality["mean"], low, high)
