"""The final evaluation: a chosen configuration on fresh seeds, the test part read once per seed.

Each seed is a folder of its own, written as a whole or not at all, so that an interrupted
evaluation goes on where it stopped:

    spec.json   what to train
    result.json how the training went; its presence says that the seed is done
    test.safetensors  scores on the test part, rounded as they are kept beside a row
    model/      the trained model (see ``mmbench.saved``)
    robustness.json  and the like, if that was asked for (see ``mmbench.diagnosing``)
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, cat

from mmbench import diagnosing
from mmbench.contracts import Metric
from mmbench.diagnosing import Document
from mmbench.errors import Incompatible, StorageError
from mmbench.evaluation.estimates import Interval
from mmbench.evaluation.intervals import bootstrap, gain_estimate
from mmbench.evaluation.predictions import storable
from mmbench.evaluation.quality import by_slice, confusion, quality
from mmbench.evaluation.reliability import reliability_bins
from mmbench.evaluation.resampling import OfSums, PerRow
from mmbench.files import write_whole
from mmbench.plugins import Plugins
from mmbench.provenance import used_by
from mmbench.resolve import Resolved, resolve
from mmbench.saved import save_model
from mmbench.spec import TrialSpec, spec_from_json
from mmbench.training import OnEpoch
from mmbench.trial import TrialResult, Workbench, ignore, main_metric, run_trial
from mmbench.types import Split

RESULT, SPEC, SCORES, MODEL, FAILURE = (
    "result.json", "spec.json", "test.safetensors", "model", "failure.json",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SeedResult:
    """One fresh seed of a configuration, trained and scored on test."""

    spec: TrialSpec
    folder: Path
    test_scores: Tensor  # (rows, n_outputs)
    validation: float
    seconds: float
    curve: list[dict[str, float]]
    splits: Mapping[str, str] | None = None
    """A hash of the target and sources of each part."""
    diagnoses: Mapping[str, Document] = field(default_factory=dict)

    @property
    def model_folder(self) -> Path:
        return self.folder / MODEL


@dataclass(frozen=True, slots=True)
class FinalEvaluation:
    """A configuration over all its fresh seeds: quality with intervals, slices, gain, cost."""

    resolved: Resolved
    seeds: Sequence[SeedResult]
    quality: Mapping[str, tuple[Interval | None, list[float]]]
    """By metric: the interval over seeds × samples, where there is one, and each seed's value."""
    slices: Mapping[str, Mapping[str, Mapping[str, float]]]
    confusion: list[list[int]] | None
    """``[true class][predicted class]``, summed over seeds; None unless classes are predicted."""
    reliability: Mapping[str, Any] | None
    """Bins of the predictions of all seeds together; None unless classes are predicted."""
    gain: tuple[str, Interval] | None
    """What it adds to the best single modality (named), which validation chose."""
    cost: Mapping[str, Any]
    higher_is_better: bool
    diagnoses: Mapping[str, Document]
    """Those that every seed has, by name, averaged."""

    @property
    def spec(self) -> TrialSpec:
        return self.seeds[0].spec


def evaluate_seed(
    spec: TrialSpec,
    plugins: Plugins,
    bench: Workbench,
    folder: Path,
    on_epoch: OnEpoch = ignore,
    *,
    diagnose: bool = True,
) -> SeedResult:
    """Train, score on test, and write all of it into ``folder``.

    ``diagnose``: also examine the model, which takes seconds with small encoders.
    """
    result = run_trial(spec, plugins, bench, on_epoch)
    return keep_seed(result, plugins, bench, folder, diagnose=diagnose)


def keep_seed(
    result: TrialResult,
    plugins: Plugins,
    bench: Workbench,
    folder: Path,
    *,
    diagnose: bool = True,
) -> SeedResult:
    """Write all of it into ``folder``."""
    trained = result.trained
    used = used_by(trained.resolved, plugins)
    save_model(folder / MODEL, trained.resolved, trained.model, trained.requests, used)
    if diagnose:
        diagnosing.diagnose(result, plugins, bench, folder)
    document = {
        "validation": trained.fitted.score,
        "best_epoch": trained.fitted.best_epoch,
        "seconds": trained.fitted.seconds,
        "curve": trained.fitted.curve,
        "splits": dict(result.splits),
    }
    scores = storable(result.test_scores, trained.resolved.task)
    try:
        save_file({"scores": scores}, folder / SCORES)
        (folder / SPEC).write_text(json.dumps(trained.resolved.spec.to_dict(), indent=2))
        write_whole(folder / RESULT, json.dumps(document, indent=2))
    except OSError as error:
        raise StorageError(f"The result cannot be written to {folder}: {error}.") from error
    return load_seed(folder)


def load_seed(folder: Path) -> SeedResult:
    document = json.loads((folder / RESULT).read_text())
    return SeedResult(
        spec=spec_from_json((folder / SPEC).read_text()),
        folder=folder,
        test_scores=load_file(folder / SCORES)["scores"].float(),
        validation=document["validation"],
        seconds=document["seconds"],
        curve=document["curve"],
        splits=document.get("splits"),
        diagnoses=diagnosing.diagnoses(folder),
    )


def evaluate_family(
    seeds: Sequence[SeedResult],
    single: Sequence[SeedResult] | None,
    cost: Mapping[str, Any],
    test: Split,
    plugins: Plugins,
) -> FinalEvaluation:
    """Summarise the seeds of one configuration; ``single`` is the best single modality's.

    A baseline has no gain over it: it does not fuse anything.
    """
    if len({s.spec.family for s in seeds}) != 1:
        raise Incompatible("A final evaluation summarises the seeds of one configuration.")
    resolved = resolve(seeds[0].spec, plugins)
    metric = main_metric(resolved, plugins)
    scores = [s.test_scores for s in seeds]
    classes = resolved.task.target == "classification"
    confused, reliable = (
        _by_class(scores, test, resolved.task.n_outputs) if classes else (None, None)
    )
    return FinalEvaluation(
        resolved,
        seeds,
        _quality(scores, test, resolved, plugins),
        _slices(scores, test, metric),
        confused,
        reliable,
        None if resolved.fusion.offered == "baseline" else _gain(scores, single, metric, test),
        cost,
        metric.higher_is_better,
        diagnosing.over_seeds([s.diagnoses for s in seeds]),
    )


def _quality(
    scores: Sequence[Tensor], test: Split, resolved: Resolved, plugins: Plugins
) -> dict[str, tuple[Interval | None, list[float]]]:
    """Every metric of every seed; an interval for the main one and those that sums over rows give.

    The others (AUROC, F1 …) would have to be computed anew on each of 1,000 resamples: minutes.
    """
    per_seed = [quality(s, test.target, resolved.task, plugins) for s in scores]
    common = set.intersection(*(set(q) for q in per_seed))  # a side metric may fail for a seed
    return {
        name: (
            _interval(plugins.metrics[name](), scores, test, resolved),
            [q[name] for q in per_seed],
        )
        for name in sorted(common)
    }


def _interval(
    metric: Metric, scores: Sequence[Tensor], test: Split, resolved: Resolved
) -> Interval | None:
    if metric.name != resolved.task.metric and not isinstance(metric, PerRow | OfSums):
        return None
    return bootstrap(metric, scores, test.target, source=test.source)


def _slices(
    scores: Sequence[Tensor], test: Split, metric: Metric
) -> dict[str, dict[str, dict[str, float]]]:
    """The main metric of every slice, averaged over seeds."""
    per_seed = [by_slice(s, test.target, test.slices, metric) for s in scores]
    return {
        name: {
            value: {
                "rows": cell["rows"],
                "score": sum(p[name][value]["score"] for p in per_seed) / len(per_seed),
            }
            for value, cell in values.items()
        }
        for name, values in per_seed[0].items()
    }


def _by_class(
    scores: Sequence[Tensor], test: Split, n_classes: int
) -> tuple[list[list[int]], dict[str, Any]]:
    """Confusion and reliability of the predictions of all seeds together."""
    predicted, target = cat(list(scores)), test.target.repeat(len(scores))
    return confusion(predicted, target, n_classes), reliability_bins(predicted, target)


def _gain(
    scores: Sequence[Tensor], single: Sequence[SeedResult] | None, metric: Metric, test: Split
) -> tuple[str, Interval] | None:
    if single is None:
        return None
    baseline = [s.test_scores for s in single]
    gain = gain_estimate(metric, scores, baseline, test.target, test.source)
    return single[0].spec.fusion_label, gain.interval()
