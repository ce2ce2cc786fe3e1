"""Open or create the study of a search, and read it: what is done, what runs, what is best."""

import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
import psutil
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mmbench.errors import InvalidSpec, StorageError
from mmbench.plugins import Plugins
from mmbench.search.propose import default_proposals, reference_specs
from mmbench.search.request import SearchRequest
from mmbench.spec import TrialSpec, known_spec

State = Literal["finished", "pruned", "failed", "violated", "interrupted"]

FIXED_SPEC, SPEC, RECORD, WORKER, REQUEST = "fixed_spec", "spec", "record", "worker", "request"
DEATHS = "deaths"
FATAL = 2
"""How often a trial may take its worker down before it counts as failed."""


def open_storage(url: str) -> BaseStorage:
    """A journal file by path or ``journal:PATH``, anything else as an Optuna (SQLAlchemy) URL."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        if "://" in url:
            return RDBStorage(url, heartbeat_interval=None)
        path = Path(url.removeprefix("journal:"))
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path)))
    except OSError as error:
        raise StorageError(
            f"The study cannot be kept in {url}: {error}. Choose another place with --storage."
        ) from error
    except Exception as error:
        raise StorageError(f"Optuna cannot open {url!r}: {error}") from error


def create_or_continue(
    name: str, request: SearchRequest, storage: BaseStorage, plugins: Plugins
) -> optuna.Study:
    """The study of this request; a new one gets the baselines and defaults enqueued."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    up, down = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
    directions = [up, down] if request.pareto else [up]
    study = optuna.create_study(
        study_name=name, storage=storage, directions=directions, load_if_exists=True
    )
    if REQUEST not in study.user_attrs:
        for spec in reference_specs(request, plugins):
            study.enqueue_trial({}, user_attrs={FIXED_SPEC: spec.to_json()})
        for proposal in default_proposals(request, plugins):
            study.enqueue_trial(proposal)
        study.set_user_attr(REQUEST, request.to_dict())
    return study


def request_of(study: optuna.Study) -> SearchRequest:
    try:
        return SearchRequest.from_dict(study.user_attrs[REQUEST])
    except KeyError:
        raise InvalidSpec(
            f"The study {study.study_name!r} was not made by mmbench. "
            f"Start one with `mmbench search`."
        ) from None


def state_of(trial: FrozenTrial) -> State | None:
    """How a trial ended, or None while it waits or runs."""
    if trial.state in (TrialState.WAITING, TrialState.RUNNING):
        return None
    record = trial.user_attrs.get(RECORD)
    return record["state"] if record else "interrupted"


@dataclass(frozen=True, slots=True)
class Attempted:
    """One trial of a study, as mmbench sees it."""

    number: int
    state: State
    spec: TrialSpec | None
    record: dict[str, Any]
    reference: bool

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
        Counter(a.state for a in done),
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


def worker_identity() -> dict[str, Any]:
    """Who runs a trial, so that another process can tell whether it still lives."""
    me = psutil.Process()
    return {"host": socket.gethostname(), "pid": me.pid, "started": me.create_time()}


def recover(study: optuna.Study) -> int:
    """End the trials whose worker on this machine is dead, and queue them again; how many.

    One that kills its worker a second time has failed: it would kill every worker after it.
    """
    dead = [
        t
        for t in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if _dead(t.user_attrs.get(WORKER), t)
    ]
    for trial in dead:
        deaths = trial.user_attrs.get(DEATHS, 0) + 1
        if deaths >= FATAL:
            why = "its worker died twice while it ran: killed, perhaps for the memory it took"
            record = {"state": "failed", "reason": why, "error": why, "curve": []}
            optuna.trial.Trial(study, trial._trial_id).set_user_attr(RECORD, record)
        study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        if deaths < FATAL:
            requeue(study, trial, deaths)
    return len(dead)


def requeue(study: optuna.Study, trial: FrozenTrial, deaths: int = 0) -> None:
    """Let an interrupted trial be tried again, whole."""
    kept = {k: v for k, v in trial.user_attrs.items() if k == FIXED_SPEC}
    study.enqueue_trial(dict(trial.params), user_attrs={**kept, DEATHS: deaths})


def _dead(worker: dict[str, Any] | None, trial: FrozenTrial) -> bool:
    if worker is None:  # it died between taking the trial and signing it
        started = trial.datetime_start
        return started is not None and time.time() - started.timestamp() > 60
    if worker["host"] != socket.gethostname():
        return False
    try:
        born: float = psutil.Process(worker["pid"]).create_time()
        return abs(born - float(worker["started"])) > 1  # another process has that number by now
    except psutil.NoSuchProcess:
        return True
