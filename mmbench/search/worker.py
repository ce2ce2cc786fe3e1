"""A worker: one process that takes trials from a study until the budget is spent.

Any number of workers share a study through its storage. Each is started with
``mmbench worker``, by the search itself or by hand on another machine.
"""

import os
import signal
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import torch
from filelock import FileLock
from optuna.trial import TrialState

from mmbench.plugins import Plugins
from mmbench.search.attempt import Attempt, constraints_of
from mmbench.search.request import SearchRequest
from mmbench.search.study import (
    WORKER,
    open_storage,
    recover,
    request_of,
    spent,
    state_of,
    worker_identity,
)
from mmbench.search.window import WindowedPruner, WindowedTPE
from mmbench.spec import TrainSpec
from mmbench.trial import Workbench, device_named


@dataclass(frozen=True, slots=True)
class Budget:
    """When a worker stops taking trials."""

    trials: int | None = None
    deadline: float | None = None
    """Unix time."""

    def time_is_up(self) -> bool:
        return self.deadline is not None and time.time() >= self.deadline


def work(
    study_name: str,
    storage_url: str,
    budget: Budget,
    plugins: Plugins,
    *,
    number: int = 0,
    threads: int = 1,
    parent: int | None = None,
) -> Counter[str]:
    """Run trials until the budget is spent or a signal comes; how many ended in which state."""
    torch.set_num_threads(threads)
    study = optuna.load_study(study_name=study_name, storage=open_storage(storage_url))
    request = request_of(study)
    study.sampler = _sampler(request, number, len(study.get_trials(deepcopy=False)))
    study.pruner = _pruner(request)
    bench = Workbench(device_named(request.device))
    should_stop = Stop(budget, parent)
    ends: Counter[str] = Counter()
    while not should_stop():
        recover(study)
        trial = _take(study, budget, _lock(storage_url, study_name))
        if trial is None:
            break
        ends[Attempt(study, trial, request, plugins, bench, should_stop).run()] += 1
    return ends


def _take(study: optuna.Study, budget: Budget, lock: Any) -> optuna.Trial | None:
    """The next trial, or None if the budget of trials is spent; counted and taken in one step."""
    with lock:
        trials = study.get_trials(deepcopy=False)
        used = spent(Counter(s for t in trials if (s := state_of(t)) is not None))
        running = sum(t.state == TrialState.RUNNING for t in trials)
        if budget.trials is not None and used + running >= budget.trials:
            return None
        trial = study.ask()
        trial.set_user_attr(WORKER, worker_identity())
        return trial


def _lock(storage_url: str, study_name: str) -> Any:
    """On one machine, workers take turns; across machines the storage alone keeps order."""
    if "://" in storage_url:
        return nullcontext()
    path = Path(storage_url.removeprefix("journal:"))
    return FileLock(path.with_name(f"{study_name}.take.lock"))


def _sampler(request: SearchRequest, number: int, seen: int) -> optuna.samplers.BaseSampler:
    """TPE with its own defaults; a seed per worker and, when a search goes on, a fresh one."""
    seed = request.seed * 1_000_003 + number * 10_007 + seen
    return WindowedTPE(
        seed=seed % 2**32, constraints_func=constraints_of if request.limits else None
    )


def _pruner(request: SearchRequest) -> optuna.pruners.BasePruner:
    """Below the median of what others had at the same epoch, but never in the first third."""
    if request.pareto:
        return optuna.pruners.NopPruner()
    epochs = int(request.train.get("max_epochs", TrainSpec().max_epochs))
    median = optuna.pruners.MedianPruner(n_startup_trials=6, n_warmup_steps=max(1, epochs // 3))
    return WindowedPruner(median)


class Stop:
    """Whether to stop: a signal came, the time is up, or the search that started us is gone.

    Looked at between trials and after every epoch, never in the middle of a write.
    """

    def __init__(self, budget: Budget, parent: int | None) -> None:
        self.budget, self.parent, self.signalled = budget, parent, False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self.signalled = True

    def __call__(self) -> bool:
        orphaned = self.parent is not None and os.getppid() != self.parent
        return self.signalled or orphaned or self.budget.time_is_up()
