"""How a trial ends, and how one whose worker is gone is handed to another.

Each step may be the last one a worker does. So the order is such that whoever comes next finds a
trial that runs, waits or has ended, never one that is lost and never the same one twice. All of it
is done in a turn.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from mmbench.search.lease import Watch
from mmbench.search.study import DEATHS, FATAL, FIXED_SPEC, RECORD, SUCCEEDS


def end(study: optuna.Study, number: int, record: Mapping[str, Any]) -> None:
    """Tell Optuna how a trial ended, from its record, which must be in the study already."""
    state = record["state"]
    if state == "finished":
        objectives = ("utility", "latency_ms")[: len(study.directions)]
        study.tell(number, [record[name] for name in objectives])
    elif state == "failed":
        study.tell(number, state=TrialState.FAIL)
    else:
        study.tell(number, state=TrialState.PRUNED)


def hand_back(study: optuna.Study, trial: FrozenTrial, deaths: int | None = None) -> None:
    """End a running trial without a result and queue it again, whole."""
    if not any(t.user_attrs.get(SUCCEEDS) == trial.number for t in _all(study)):
        kept = {k: v for k, v in trial.user_attrs.items() if k in (FIXED_SPEC, DEATHS)}
        link = {SUCCEEDS: trial.number} | ({} if deaths is None else {DEATHS: deaths})
        planned = trial.system_attrs.get("fixed_params", {})  # not all may have been asked for yet
        study.enqueue_trial({**planned, **trial.params}, user_attrs={**kept, **link})
    study.tell(trial.number, state=TrialState.FAIL)


def recover(study: optuna.Study, watch: Watch | None = None) -> int:
    """Take up the running trials whose worker is dead; how many.

    One that had its record written has ended so; the others are queued again. One that kills its
    worker a second time has failed: it would kill every worker after it.
    """
    watch = watch or Watch()
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    dead = [trial for trial in running if watch.is_dead(trial)]
    for trial in dead:
        deaths = trial.user_attrs.get(DEATHS, 0) + 1
        if record := trial.user_attrs.get(RECORD):
            end(study, trial.number, record)
        elif deaths < FATAL:
            hand_back(study, trial, deaths)
        else:
            _give_up(study, trial)
    return len(dead)


def _give_up(study: optuna.Study, trial: FrozenTrial) -> None:
    why = "its worker died twice while it ran: killed, perhaps for the memory it took"
    record = {"state": "failed", "reason": why, "error": why, "curve": []}
    optuna.Trial(study, trial._trial_id).set_user_attr(RECORD, record)
    end(study, trial.number, record)


def _all(study: optuna.Study) -> Sequence[FrozenTrial]:
    return study.get_trials(deepcopy=False)
