"""Final evaluations small enough for tests: seeds that were trained, and the rows of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mmbench.campaign import concluding
from mmbench.features import FeatureCache
from mmbench.final import SeedResult, evaluate_seed
from mmbench.leaderboard.row import Row
from mmbench.plugins import Plugins
from mmbench.resolve import resolve
from mmbench.spec import TrialSpec
from mmbench.trial import Workbench

BOARDS = Path(__file__).parents[1] / "leaderboards"
Ended = Sequence[tuple[str, float | None]]
"""How each trial of the study ended, and its score."""


def cost_document() -> dict[str, Any]:
    """That of a committed row: costs are not what is tested here."""
    found: dict[str, Any] = json.loads(next((BOARDS / "synergy").glob("*.json")).read_text())[
        "cost"
    ]
    return found


def trained(
    spec: TrialSpec, seeds: Sequence[int], plugins: Plugins, home: Path
) -> tuple[str, list[SeedResult]]:
    """The family of ``spec`` and its seeds, each in a folder of ``home``."""
    bench = Workbench(torch.device("cpu"), FeatureCache(home / "features"))
    resolved, results = resolve(spec, plugins).spec, []
    for seed in seeds:
        folder = home / resolved.with_seed(seed).id
        folder.mkdir(parents=True)
        results.append(evaluate_seed(resolved.with_seed(seed), plugins, bench, folder))
    return resolved.family, results


def concluded(families: dict[str, list[SeedResult]], plugins: Plugins, ended: Ended) -> list[Row]:
    """The rows of a search of so many trials."""
    spec = next(iter(families.values()))[0].spec
    quiet = SimpleNamespace(measuring=lambda *_: None, log_final=lambda *_: None)
    job: Any = SimpleNamespace(
        task=spec.task, plugins=plugins, listener=quiet, tracker=quiet,
        crew=SimpleNamespace(threads=1), device="cpu",
    )  # fmt: skip
    history = [
        {"number": i, "state": state, "value": value, "fusion": spec.fusion.name, "seconds": 1.0}
        for i, (state, value) in enumerate(ended)
    ]
    states = [state for state, _ in ended]
    counts = {s: states.count(s) for s in ("finished", "pruned", "violated", "failed")}
    summary = {"study": "study", "seed": 0, "trials": len(ended), **counts, "history": history}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(concluding, "measure_in_fresh_process", lambda *_: cost_document())
        return concluding.Conclusion(job, summary).rows(families)
