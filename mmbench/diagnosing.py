"""A trained model examined on some rows of test: one JSON file per diagnosis in the seed's folder.

A diagnosis that fails costs a warning, never the seed.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from mmbench.contracts import Encoder
from mmbench.evaluation.averaging import averaged
from mmbench.evaluation.contribution import contribution, representation
from mmbench.evaluation.resampling import with_resamples
from mmbench.evaluation.robustness import document
from mmbench.evaluation.robustness.document import robustness
from mmbench.files import write_whole
from mmbench.plugins import Plugins
from mmbench.training import predict
from mmbench.trial import TrialResult, Workbench, main_metric, spread_out
from mmbench.types import Encoded, Split, Values

ROWS = 1024
"""Of test, spread evenly: a model is asked of them dozens of times, so not of all."""

DISTURBANCES = 0
"""The seed of all: each model meets the same, so that two differ by what they are; and a frozen
encoder reads each disturbed row once, however many models look at what it says."""

Document = dict[str, Any]
"""Of a shape that ``mmbench.leaderboard.diagnoses`` describes."""
AVERAGE: dict[str, Callable[[Sequence[Document]], Document]] = {
    "robustness": document.over_seeds,
    "contribution": averaged,
    "representation": averaged,
}
"""The diagnoses, and how those of several seeds become one."""

log = logging.getLogger(__name__)


def diagnose(result: TrialResult, plugins: Plugins, bench: Workbench, folder: Path) -> None:
    """Write every diagnosis of the model into ``folder``."""
    trained, test = result.trained, result.test
    task, model = trained.resolved.task, trained.model
    encoders = model.encoders_by_modality
    metric = main_metric(trained.resolved, plugins)
    chosen = spread_out(len(test), ROWS)
    rows, ready = test.rows(chosen), result.ready_test.rows(chosen).to(bench.device)
    if test.source is not None:
        rows = replace(rows, source=test.source[chosen])
    judge = with_resamples(metric, rows.target, rows.source)

    def score(split: Split) -> Tensor:
        bench.between_steps()  # dozens of looks may take minutes: a search that is to end, ends
        return judge(predict(model, split, bench.device))

    def encode(modality: str, encoder: Encoder, values: Values) -> Encoded:
        component = trained.resolved.spec.encoders[modality]
        return bench.disturbed.encode(component, encoder, values)

    def robust() -> Document:
        return robustness(rows, task, encoders, score, DISTURBANCES, encode, metric.ends)

    _write(folder, "robustness", robust)
    _write(folder, "contribution", lambda: contribution(model, ready, task, metric))
    _write(folder, "representation", lambda: representation(model, ready, task))


def _write(folder: Path, name: str, diagnosis: Callable[[], Document | None]) -> None:
    """None is for a model that the diagnosis does not apply to."""
    try:
        found = diagnosis()
        if found is not None:
            write_whole(_file(folder, name), json.dumps(found, indent=2, allow_nan=False))
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises, the seed is trained
        log.warning("no %s of %s: %s: %s", name, folder, type(error).__name__, error)


def diagnoses(folder: Path) -> dict[str, Document]:
    """Those that a seed has, by name."""
    files = {name: _file(folder, name) for name in AVERAGE}
    return {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}


def over_seeds(seeds: Sequence[Mapping[str, Document]]) -> dict[str, Document]:
    """The averages of those that every seed has."""
    return {
        name: average([seed[name] for seed in seeds])
        for name, average in AVERAGE.items()
        if all(name in seed for seed in seeds)
    }


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"
