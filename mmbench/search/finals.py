"""Phase two: the best configurations and the references, trained again on fresh seeds."""

from collections.abc import Sequence
from pathlib import Path

import optuna

from mmbench.final import RESULT, SeedResult, evaluate_seed, load_seed
from mmbench.plugins import Plugins
from mmbench.resolve import resolve
from mmbench.search.jobs import Run
from mmbench.search.propose import default_spec
from mmbench.search.request import SearchRequest
from mmbench.search.study import Attempted, attempted, utility
from mmbench.spec import TrialSpec
from mmbench.training import OnEpoch
from mmbench.trial import Workbench


def fresh_seeds(n: int, seed: int) -> list[int]:
    """Seeds that a search from ``seed`` has not used."""
    return [1000 * (seed + 1) + i for i in range(n)]


def chosen(
    study: optuna.Study, request: SearchRequest, k: int, plugins: Plugins
) -> list[TrialSpec]:
    """The best ``k`` configurations by validation, then the references they must beat.

    Of equally good ones the smaller model comes first. With ``--pareto``, the best of the front.
    """
    done = attempted(study)
    finished = [a for a in done if a.state == "finished" and a.spec is not None]
    candidates = [a for a in finished if not a.reference]
    if request.pareto:
        front = {t.number for t in study.best_trials}
        candidates = [a for a in candidates if a.number in front]
    best = _distinct(sorted(candidates, key=_goodness))[:k]
    references = [a.spec for a in finished if a.reference and a.spec]
    if "concat" in request.candidates.fusions:
        concat = [a for a in candidates if a.spec and a.spec.fusion.name == "concat"]
        plain = resolve(default_spec(request, plugins), plugins).spec
        references.append(min(concat, key=_goodness).spec if concat else plain)  # type: ignore[arg-type]
    taken = {spec.family for spec in best}
    return best + [spec for spec in references if spec.family not in taken]


def _goodness(attempt: Attempted) -> tuple[float, float, int]:
    return -utility(attempt), attempt.record.get("parameters", 0), attempt.number


def _distinct(attempts: Sequence[Attempted]) -> list[TrialSpec]:
    by_family: dict[str, TrialSpec] = {}
    for attempt in attempts:
        if attempt.spec is not None:
            by_family.setdefault(attempt.spec.family, attempt.spec)
    return list(by_family.values())


def evaluate(plugins: Plugins, bench: Workbench, *, diagnose: bool = True) -> Run:
    """What a job of this phase does: train, look at the test part once, examine the model."""

    def run(spec: TrialSpec, job: Path, on_epoch: OnEpoch) -> None:
        evaluate_seed(spec, plugins, bench, job, on_epoch, diagnose=diagnose)

    return run


def results(jobs: Sequence[Path]) -> dict[str, list[SeedResult]]:
    """Finished seeds by family, in the order of the jobs."""
    families: dict[str, list[SeedResult]] = {}
    for job in jobs:
        if (job / RESULT).exists():
            seed = load_seed(job)
            families.setdefault(seed.spec.family, []).append(seed)
    return families
