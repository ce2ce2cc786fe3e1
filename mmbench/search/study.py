"""Open or create the study of a search, and read it: what is done, what runs, what is best."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mmbench.errors import InvalidSpec
from mmbench.plugins import Plugins
from mmbench.search.propose import default_proposals, opening, reference_specs
from mmbench.search.request import SearchRequest, question
from mmbench.spec import TrialSpec, known_spec

State = Literal["finished", "pruned", "failed", "violated", "interrupted"]
Queued = tuple[dict[str, Any], dict[str, Any]]
"""The parameters and the attributes of a trial to come."""

FIXED_SPEC, SPEC, RECORD, REQUEST = "fixed_spec", "spec", "record", "request"
QUESTION, TAKEN_OVER = "question", "taken_over"
SUCCEEDS = "succeeds"
"""Of a trial that was queued again: the number of the one that it takes the place of."""
DEATHS = "deaths"
FATAL = 2
"""How often a trial may take its worker down before it counts as failed."""


def open_study(name: str, request: SearchRequest, storage: BaseStorage) -> optuna.Study:
    """The study of this request as it is; an empty one if there is none."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    up, down = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
    directions = [up, down] if request.pareto else [up]
    return optuna.create_study(
        study_name=name, storage=storage, directions=directions, load_if_exists=True
    )


def create_or_continue(
    name: str,
    request: SearchRequest,
    storage: BaseStorage,
    plugins: Plugins,
    known: Collection[str] = (),
) -> optuna.Study:
    """The study of this request; a new one gets the baselines and defaults enqueued.

    ``known``: ids of specifications that it has taken over from an earlier study. To be called
    in a turn. Workers take no trial before the request is in the study; one that was
    killed half way through is completed.
    """
    study = open_study(name, request, storage)
    if REQUEST not in study.user_attrs:
        there = study.get_trials(deepcopy=False)
        queued = sum(TAKEN_OVER not in trial.user_attrs for trial in there)
        for params, attributes in first_trials(request, plugins, known)[queued:]:
            study.enqueue_trial(params, user_attrs=attributes)
        study.set_user_attr(QUESTION, question(request, plugins))
        study.set_user_attr(REQUEST, request.to_dict())
    if (kept := request_of(study)).task != request.task:  # its data have been moved
        study.set_user_attr(REQUEST, replace(kept, task=request.task).to_dict())
    return study


def first_trials(request: SearchRequest, plugins: Plugins, known: Collection[str]) -> list[Queued]:
    """What is cheap and hard to beat, the references, what was best before, then all defaults.

    What was best in earlier searches is there only if asked for, and then it should not have to
    wait until a small budget is spent.
    """
    first = opening(request, plugins, known)
    earlier = [entry["proposal"] for entry in request.earlier]
    then = [*earlier, *default_proposals(request, plugins, known)]
    return [
        *((proposal, {}) for proposal in first),
        *(({}, {FIXED_SPEC: s.to_json()}) for s in reference_specs(request, plugins, known)),
        *((p, {}) for i, p in enumerate(then) if p not in first and p not in then[:i]),
    ]


def is_complete(storage: BaseStorage, name: str) -> bool:
    """Whether there is such a study with all that ``create_or_continue`` gives it."""
    known = {s.study_name: s.user_attrs for s in storage.get_all_studies()}
    return REQUEST in known.get(name, {})


def request_of(study: optuna.Study) -> SearchRequest:
    try:
        return SearchRequest.from_dict(study.user_attrs[REQUEST])
    except KeyError:
        raise InvalidSpec(
            f"The study {study.study_name!r} was not made by mmbench. "
            f"Start one with `mmbench search`."
        ) from None
    except TypeError as error:
        raise InvalidSpec(
            f"The study {study.study_name!r} was made by another version of mmbench: {error}. "
            f"`mmbench search` starts one of this version."
        ) from None


def state_of(trial: FrozenTrial) -> State | None:
    """How a trial ended, or None while it waits or runs."""
    if trial.state in (TrialState.WAITING, TrialState.RUNNING):
        return None
    record = trial.user_attrs.get(RECORD)
    return record["state"] if record else "interrupted"


def own_state(trial: FrozenTrial) -> State | None:
    """The same, but None for a trial of an earlier study: it is no part of the budget."""
    return None if TAKEN_OVER in trial.user_attrs else state_of(trial)


@dataclass(frozen=True, slots=True)
class Attempted:
    """One trial of a study, as mmbench sees it."""

    number: int
    state: State
    spec: TrialSpec | None
    record: dict[str, Any]
    reference: bool
    taken_over: bool = False
    """It is a trial of an earlier study, and cost nothing of this one's budget."""

    @property
    def score(self) -> float | None:
        value = self.record.get("value")
        return None if value is None else float(value)

    def brief(self) -> dict[str, Any]:
        """What a row says of it, so that no trial is hidden behind the best."""
        return brief(self.number, self.state, self.spec, self.record)


def brief(
    number: int, state: State, spec: TrialSpec | None, record: Mapping[str, Any]
) -> dict[str, Any]:
    """One trial in a row's history: how it ended, its score on validation, its fusion, its time."""
    seconds = record.get("seconds")
    return {
        "number": number,
        "state": state,
        "value": record.get("value"),
        "fusion": spec.fusion_label if spec else None,
        "seconds": None if seconds is None else round(seconds, 2),
    }


def attempted(study: optuna.Study) -> list[Attempted]:
    """All trials that came to an end, in order."""
    done = []
    for trial in study.get_trials(deepcopy=False):
        if (state := state_of(trial)) is not None:
            text = trial.user_attrs.get(SPEC)
            done.append(
                Attempted(
                    trial.number,
                    state,
                    known_spec(text) if text else None,
                    trial.user_attrs.get(RECORD, {}),
                    FIXED_SPEC in trial.user_attrs,
                    TAKEN_OVER in trial.user_attrs,
                )
            )
    return done


def trials_of_families(study: optuna.Study) -> dict[str, dict[str, int]]:
    """By family, the first trial that finished with it: what a row says of its own search."""
    found: dict[str, dict[str, int]] = {}
    for attempt in attempted(study):
        if attempt.spec is not None and attempt.state == "finished":
            found.setdefault(attempt.spec.family, {"trial": attempt.number})
    return found


@dataclass(frozen=True, slots=True)
class Running:
    """A trial under way."""

    number: int
    label: str
    epoch: int | None
    score: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a search at one moment."""

    counts: Counter[str]
    """Of its own trials, by state."""
    best: Attempted | None
    running: Sequence[Running]
    waiting: int

    @property
    def done(self) -> int:
        return spent(self.counts)


def spent(counts: Counter[str]) -> int:
    """How much of a budget of trials is used; an interrupted trial is given back."""
    return sum(n for state, n in counts.items() if state != "interrupted")


def snapshot(study: optuna.Study) -> Snapshot:
    done = attempted(study)
    trials = study.get_trials(deepcopy=False)
    scored = [a for a in done if a.state == "finished" and a.score is not None]
    return Snapshot(
        Counter(a.state for a in done if not a.taken_over),
        max(scored, key=lambda a: utility(a), default=None),
        [_running(t) for t in trials if t.state == TrialState.RUNNING and SPEC in t.user_attrs],
        sum(t.state == TrialState.WAITING for t in trials),
    )


def utility(attempt: Attempted) -> float:
    """What the search maximises: the main metric, negated where lower is better."""
    return float(attempt.record.get("utility", float("-inf")))


def _running(trial: FrozenTrial) -> Running:
    spec = known_spec(trial.user_attrs[SPEC])
    last = max(trial.intermediate_values, default=None)
    return Running(
        trial.number,
        f"{spec.encoders_label or 'nothing'} → {spec.fusion_label} → {spec.head.name}",
        last,
        None if last is None else trial.intermediate_values[last],
    )
