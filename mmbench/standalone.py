"""One configuration evaluated as a row, without a search: for ``run`` and ``rerun``."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmbench.evaluation.environment import environment
from mmbench.evaluation.measure import measure_in_fresh_process
from mmbench.final import SeedResult, evaluate_family, evaluate_seed
from mmbench.leaderboard.assemble import row_of
from mmbench.leaderboard.kept import keep_predictions, keep_row
from mmbench.leaderboard.row import Row
from mmbench.plugins import Plugins
from mmbench.resolve import resolve
from mmbench.spec import TrialSpec
from mmbench.training import OnEpoch
from mmbench.trial import Workbench, ignore


def evaluate_alone(
    spec: TrialSpec,
    seeds: Sequence[int],
    plugins: Plugins,
    bench: Workbench,
    folder: Path,
    *,
    threads: int = 1,
    on_epoch: OnEpoch = ignore,
    diagnose: bool = False,
) -> tuple[Row, list[SeedResult]]:
    """Train ``spec`` on each seed, score it on test, measure its cost; nothing is reused."""
    resolved = resolve(spec, plugins)
    trained = []
    for seed in seeds:
        seeded = resolved.spec.with_seed(seed)
        target = folder / f"{seeded.id}-{time.time_ns()}"
        target.mkdir(parents=True)
        trained.append(evaluate_seed(seeded, plugins, bench, target, on_epoch, diagnose=diagnose))
    cost = measure_in_fresh_process(trained[0].model_folder, bench.device.type, threads)
    final = evaluate_family(trained, None, cost, bench.load(resolved, "test"), plugins)
    search: dict[str, Any] = {"study": None, "trials": 0, "history": []}
    row = row_of(final, search, environment(plugins, final.resolved), keep_predictions(trained))
    keep_row(trained, row)
    return row, trained


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of a row and the same figure measured again."""

    figure: str
    before: float
    now: float
    note: str


def differences(before: Row, now: Row) -> list[Difference]:
    """How far a rerun is from its row: seed by seed in quality, as ratios in cost."""
    found = []
    old = dict(zip(before.seeds, before.quality[before.metric]["per_seed"], strict=True))
    new = dict(zip(now.seeds, now.quality[now.metric]["per_seed"], strict=True))
    for seed in now.seeds:
        delta = new[seed] - old[seed]
        note = "identical" if delta == 0 else f"{delta:+.4f}"
        found.append(Difference(f"{now.metric}, seed {seed}", old[seed], new[seed], note))
    same_machine = before.hardware == now.hardware
    for name in ("latency_ms_p50", "latency_ms_p95", "peak_memory_mib", "train_seconds"):
        was, is_ = getattr(before, name), getattr(now, name)
        if was and is_:
            note = f"× {is_ / was:.2f}" + ("" if same_machine else ", on another machine")
            found.append(Difference(name, was, is_, note))
    return found


def changed_environment(before: Row, now: Row) -> list[str]:
    """Which packages, plugins or machine differ between two rows, in words."""
    was, is_ = before.environment.get("packages", {}), now.environment.get("packages", {})
    changes = [
        f"{package} {was.get(package, '–')} → {is_.get(package, '–')}"
        for package in sorted(was.keys() | is_.keys())
        if was.get(package) != is_.get(package)
    ]
    if "used_plugins" not in before.environment and _plugins(before) != _plugins(now):
        changes.append("plugins differ")  # of an older row it is not known which took part
    if before.hardware != now.hardware:
        changes.append(f"{before.hardware} → {now.hardware}")
    return changes


def _plugins(row: Row) -> dict[Any, Any]:
    found = row.environment.get("plugins", [])
    return {p["distribution"]: p["version"] for p in found if p["state"] in ("loaded", "slow")}
