"""Phase two: the best configurations and the references, trained again on fresh seeds."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import optuna

from mmbench.final import RESULT, SeedResult, evaluate_seed, keep_seed, load_seed
from mmbench.plugins import Plugins
from mmbench.resolve import resolve
from mmbench.search.jobs import Job, Run
from mmbench.search.propose import default_spec
from mmbench.search.request import SearchRequest
from mmbench.search.study import Attempted, attempted, utility
from mmbench.spec import TrialSpec
from mmbench.together import Wanted, train_together
from mmbench.training import OnEpoch
from mmbench.trial import Trained, Workbench, score_on_test


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
    references = _best_of_each(a for a in finished if a.reference)
    if "concat" in request.candidates.fusions:
        concat = [a for a in candidates if a.spec and a.spec.fusion.name == "concat"]
        plain = resolve(default_spec(request, plugins), plugins).spec
        references.append(min(concat, key=_goodness).spec if concat else plain)  # type: ignore[arg-type]
    taken = {spec.family for spec in best}
    return best + [spec for spec in references if spec.family not in taken]


def _goodness(attempt: Attempted) -> tuple[float, float, int]:
    return -utility(attempt), attempt.record.get("parameters", 0), attempt.number


def _best_of_each(attempts: Iterable[Attempted]) -> list[TrialSpec]:
    """Of the references with one label, such as ``only-image``, the best by validation."""
    best: dict[str, TrialSpec] = {}
    for attempt in sorted(attempts, key=_goodness):
        if attempt.spec is not None:
            best.setdefault(attempt.spec.fusion_label, attempt.spec)
    return list(best.values())


def _distinct(attempts: Sequence[Attempted]) -> list[TrialSpec]:
    by_family: dict[str, TrialSpec] = {}
    for attempt in attempts:
        if attempt.spec is not None:
            by_family.setdefault(attempt.spec.family, attempt.spec)
    return list(by_family.values())


def evaluate(plugins: Plugins, bench: Workbench, *, diagnose: bool = True) -> Run:
    """What jobs of this phase do: train, look at the test part once, examine the model."""

    def run(jobs: Sequence[Job], on_epoch: OnEpoch) -> None:
        if len(jobs) == 1:
            _guarded(
                jobs[0],
                lambda: evaluate_seed(
                    jobs[0].spec, plugins, bench, jobs[0].folder, on_epoch, diagnose=diagnose
                ),
            )
            return

        def on_end(job: Job, end: Trained | Exception) -> None:
            if isinstance(end, Exception):
                job.failed(end)
            else:
                _guarded(
                    job,
                    lambda: keep_seed(
                        score_on_test(end, bench), plugins, bench, job.folder, diagnose=diagnose
                    ),
                )

        wanted = [Wanted(job.spec, partial(on_end, job), on_epoch) for job in jobs]
        train_together(wanted, plugins, bench)

    return run


def _guarded(job: Job, work: Callable[[], object]) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - it is this job's end alone
        job.failed(error)


def results(jobs: Sequence[Path]) -> dict[str, list[SeedResult]]:
    """Finished seeds by family, in the order of the jobs."""
    families: dict[str, list[SeedResult]] = {}
    for job in jobs:
        if (job / RESULT).exists():
            seed = load_seed(job)
            families.setdefault(seed.spec.family, []).append(seed)
    return families
