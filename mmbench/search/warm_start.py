"""Begin where earlier searches ended: their best configurations are tried before the defaults.

Only configurations are taken over, never scores: each is trained again, and what chose it was its
validation score in a search. The test part, boards and final evaluations are not looked at.
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain, zip_longest
from typing import Any

import optuna

from mmbench.contracts import Dataset
from mmbench.errors import MMBenchError
from mmbench.plugins import Plugins
from mmbench.resolve import resolve_dataset
from mmbench.search.propose import as_proposal, propose
from mmbench.search.request import SearchRequest
from mmbench.search.study import Attempted, attempted, request_of, utility
from mmbench.spec import TrialSpec
from mmbench.types import Task

MOST = 5
"""Configurations taken over in all."""


def warmed(
    request: SearchRequest, dataset: Dataset, studies: Iterable[optuna.Study], plugins: Plugins
) -> SearchRequest:
    """``request`` with the best configurations of earlier studies.

    Of searches of the same task first, then of similar ones: the same modalities by name and kind,
    and the same kind of target. One from each study in turn.
    """
    similar = [s for s in studies if _similar(s, dataset.task, plugins)]
    similar.sort(key=lambda study: request_of(study).task.name != request.task.name)
    found = [_best(study, request, plugins) for study in similar]
    in_turn = [e for e in chain.from_iterable(zip_longest(*found)) if e is not None]
    distinct = [e for i, e in enumerate(in_turn) if e["proposal"] not in _proposals(in_turn[:i])]
    return replace(request, earlier=distinct[:MOST])


def _proposals(entries: list[dict[str, Any]]) -> list[Any]:
    return [e["proposal"] for e in entries]


def _similar(study: optuna.Study, task: Task, plugins: Plugins) -> bool:
    """False also of what is not ours, or of a task that is not installed."""
    try:
        other = resolve_dataset(request_of(study).task, plugins)[1].task
    except MMBenchError:
        return False
    return other.modalities == task.modalities and other.target == task.target


def _best(study: optuna.Study, request: SearchRequest, plugins: Plugins) -> list[dict[str, Any]]:
    """The best of a study that the new search could propose itself, the best first."""
    finished = [a for a in attempted(study) if a.state == "finished" and not a.reference]
    best: list[dict[str, Any]] = []
    for attempt in sorted(finished, key=lambda a: (-utility(a), a.number)):
        proposal = _proposal(attempt, request, plugins)
        if proposal is not None and len(best) < MOST:
            best.append(
                {
                    "study": study.study_name,
                    "trial": attempt.number,
                    "score": attempt.score,
                    "proposal": proposal,
                }
            )
    return best


def _proposal(
    attempt: Attempted, request: SearchRequest, plugins: Plugins
) -> dict[str, Any] | None:
    """As Optuna parameters of the new study; None where its space has no place for it."""
    if attempt.spec is None:
        return None
    wanted = replace(attempt.spec, task=request.task, seed=request.seed)
    try:
        proposal = as_proposal(wanted, request, plugins)
        found = propose(optuna.trial.FixedTrial(proposal), request, plugins)
    except (MMBenchError, ValueError):
        return None
    return dict(proposal) if _same_choices(found, wanted) else None


def _same_choices(found: TrialSpec, wanted: TrialSpec) -> bool:
    def names(spec: TrialSpec) -> tuple[object, ...]:
        parts = (spec.fusion, spec.head, spec.objective)
        return {m: c.name for m, c in spec.encoders.items()}, *(c.name for c in parts)

    return names(found) == names(wanted)
