"""Phase two: the best configurations and the references, trained again on fresh seeds."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import optuna

from mmbench.final import RESULT, SeedResult, evaluate_seed, keep_seed, load_seed
from mmbench.plugins import Plugins
from mmbench.resolve import resolve, resolve_dataset
from mmbench.search.jobs import Job, Run
from mmbench.search.paradigms import legal_with
from mmbench.search.propose import default_spec, references
from mmbench.search.request import SearchRequest
from mmbench.search.study import Attempted, attempted, utility
from mmbench.spec import TrialSpec
from mmbench.together import Wanted, train_together
from mmbench.trial import Trained, Workbench, score_on_test


def chosen(
    study: optuna.Study, request: SearchRequest, k: int, plugins: Plugins
) -> list[TrialSpec]:
    """The best ``k`` configurations by validation, then the references they must beat.

    Of equally good ones the smaller model comes first. With ``--pareto``, the best of the front;
    what it must beat need not be on it.
    """
    done = attempted(study)
    finished = [
        replace(a, spec=a.spec.at(request.task)) for a in done if a.state == "finished" and a.spec
    ]
    candidates = [a for a in finished if not a.reference]
    eligible = _front(candidates) if request.pareto else candidates
    best = _distinct(sorted(eligible, key=_goodness))[:k]
    yardsticks = _best_of_each(a for a in finished if a.reference)
    if "concat" in request.candidates.fusions:
        concat = [a for a in candidates if a.spec and a.spec.fusion.name == "concat"]
        plain = resolve(default_spec(request, plugins), plugins).spec
        yardsticks.append(min(concat, key=_goodness).spec if concat else plain)  # type: ignore[arg-type]
    by_itself = alone(best[0], request, plugins) if best else []
    return list({spec.family: spec for spec in [*best, *yardsticks, *by_itself]}.values())


def alone(winner: TrialSpec, request: SearchRequest, plugins: Plugins) -> list[TrialSpec]:
    """Each modality by itself as the winner reads it: its encoder, head and training.

    Fusion would look better than it is beside a modality alone that is read or trained worse.
    """
    _, dataset = resolve_dataset(winner.task, plugins)
    singles = [f for f in references(dataset.task, plugins) if f.name == "only"]
    specs = [default_spec(request, plugins, single) for single in singles]
    return [
        resolve(_as_in(winner, spec, plugins), plugins).spec
        for spec in specs
        if spec.encoders.keys() <= winner.encoders.keys()
    ]


def _as_in(winner: TrialSpec, spec: TrialSpec, plugins: Plugins) -> TrialSpec:
    """``spec`` with what it has in common with the winner set as there."""
    fits = legal_with(spec.objective.name, "head", [winner.head.name], plugins)
    return replace(
        spec,
        encoders={m: winner.encoders[m] for m in spec.encoders},
        head=winner.head if fits else spec.head,
        train=winner.train,
    )


def _front(attempts: Iterable[Attempted]) -> list[Attempted]:
    """The best, and each of the others that is faster than all better ones.

    Optuna's front holds the references too: they are small, and would hide every fusion behind
    them.
    """
    front: list[Attempted] = []
    for attempt in sorted(attempts, key=lambda a: (-utility(a), a.record["latency_ms"])):
        if not front or attempt.record["latency_ms"] < front[-1].record["latency_ms"]:
            front.append(attempt)
    return front


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

    def run(jobs: Sequence[Job]) -> None:
        if len(jobs) == 1:
            _guarded(
                jobs[0],
                lambda: evaluate_seed(
                    jobs[0].spec, plugins, bench, jobs[0].folder, diagnose=diagnose
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

        wanted = [Wanted(job.spec, partial(on_end, job)) for job in jobs]
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
