"""A worker: one process that takes trials from a study until the budget is spent.

Any number of workers share a study through its storage. Each is started with
``mmbench worker``, by the search itself or by hand on another machine.
"""

import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import optuna
import torch
from optuna.trial import FrozenTrial, TrialState

from mmbench.errors import first_line
from mmbench.plugins import Plugins
from mmbench.search.attempt import Attempt, Stopped, run_together
from mmbench.search.handing_over import recover
from mmbench.search.lease import WORKER, Lease, Watch, worker_identity
from mmbench.search.request import SearchRequest, check_made_here
from mmbench.search.siblings import SiblingTPE, shared_by_siblings, siblings_wanted
from mmbench.search.storage import (
    OUTAGE,
    Turn,
    known_study,
    open_storage,
    turn_of,
    within_reach,
)
from mmbench.search.study import own_state, request_of, spent
from mmbench.search.window import WindowedPruner
from mmbench.spec import TrainSpec
from mmbench.trial import Workbench, device_named

log = logging.getLogger(__name__)
WAIT_SECONDS = 1.0
"""Between two looks at whether others have ended the last trials."""
OUTAGES = 5
"""A worker gives up after so many: a restarted server costs one, a broken one all."""
PATIENCE_SECONDS = 60.0
"""How long it waits each time, for a server that is being restarted say."""


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
    threads: int = 1,
    together: int = 1,
    parent: int | None = None,
) -> Counter[str]:
    """Run trials until the budget is spent or a signal comes; how many ended in which state.

    ``together``: at most so many of one structure at once.
    """
    torch.set_num_threads(threads)
    study = known_study(study_name, open_storage(storage_url, new=False))
    request = request_of(study)
    check_made_here(study_name, request, plugins)
    study.pruner = _pruner(request)
    stop = Stop(budget, parent)
    bench = Workbench(device_named(request.device), between_steps=stop.heed)
    turn = turn_of(storage_url, study_name, PATIENCE_SECONDS)
    worker = _Worker(study, request, plugins, bench, budget, stop, turn, Tally(study))
    ends: Counter[str] = Counter()
    with within_reach(storage_url):
        for left in reversed(range(OUTAGES)):
            try:
                for state in worker.run(together):
                    ends[state] += 1
                break
            except OUTAGE as error:
                if not left:
                    raise
                log.warning("The study was lost and is looked for again: %s", first_line(error))
    return ends


@dataclass(frozen=True, slots=True)
class _Worker:
    """Takes trials, each counted, taken and signed in one turn."""

    study: optuna.Study
    request: SearchRequest
    plugins: Plugins
    bench: Workbench
    budget: Budget
    should_stop: Callable[[], bool]
    turn: Turn
    tally: "Tally"

    def run(self, together: int) -> Iterator[str]:
        """How each trial ended; what was under way in an outage is taken again when silent."""
        for attempt in self.attempts():
            group = [attempt, *self.siblings(attempt, together)]
            with Lease([one.trial for one in group]):
                run_together(group)
            yield from (one.state for one in group if one.state is not None)

    def attempts(self) -> Iterator[Attempt]:
        """Trial after trial, until the budget is spent.

        While others run the last ones it waits: they may die, and their trials are then ours.
        """
        watch = Watch()
        while not self.should_stop():
            with self.turn:
                recover(self.study, watch)
                ended, running = self.tally.count()
                trial = None if self._left(ended + running) == 0 else self._ask()
            if trial is not None:
                yield self._attempt(trial, {})
            elif running:
                time.sleep(WAIT_SECONDS)
            else:
                return

    def siblings(self, first: Attempt, together: int) -> Iterator[Attempt]:
        """More of its structure, unless a trial waits in the queue."""
        shared = shared_by_siblings(first)
        if shared is None:
            return
        for _ in range(siblings_wanted(together, self._left(sum(self.tally.count())))):
            with self.turn:
                waits = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
                if waits or self._left(sum(self.tally.count())) == 0:
                    return
                trial = self._ask()
            yield self._attempt(trial, shared)

    def _left(self, used: int) -> int | None:
        """Trials that may still be taken after ``used``; None if their number is no limit."""
        return None if self.budget.trials is None else max(0, self.budget.trials - used)

    def _ask(self) -> optuna.Trial:
        trial = self.study.ask()
        trial.set_user_attr(WORKER, worker_identity())
        return trial

    def _attempt(self, trial: optuna.Trial, fixed: Mapping[str, Any]) -> Attempt:
        """With its proposal made."""
        self.study.sampler = _sampler(self.request, trial.number, fixed)
        attempt = Attempt(self.study, trial, self.request, self.plugins, self.bench, self.turn)
        attempt.propose()
        return attempt


@dataclass
class Tally:
    """Counts a study's trials; what has ended, it reads once."""

    study: optuna.Study
    read: int = 0
    """The first so many trials have ended and are in ``ends``."""
    ends: Counter[str] = field(default_factory=Counter)

    def count(self) -> tuple[int, int]:
        """How much of a budget of trials is spent, and how many are running."""
        trials = self.study.get_trials(deepcopy=False)
        ended = list(takewhile(lambda t: t.state.is_finished(), trials[self.read :]))
        self.read += len(ended)
        self.ends += _own_ends(ended)
        rest = trials[self.read :]
        used = spent(self.ends + _own_ends(rest))
        return used, sum(t.state == TrialState.RUNNING for t in rest)


def _own_ends(trials: Iterable[FrozenTrial]) -> Counter[str]:
    return Counter(state for t in trials if (state := own_state(t)) is not None)


def _sampler(
    request: SearchRequest, trial: int, fixed: Mapping[str, Any] | None = None
) -> optuna.samplers.BaseSampler:
    """TPE, one parameter at a time; seeded by trial, so that no two workers draw the same."""
    return SiblingTPE(fixed or {}, seed=(request.seed * 1_000_003 + trial) % 2**32)


def _pruner(request: SearchRequest) -> optuna.pruners.BasePruner:
    """Below the median of what others had at the same epoch, but never in the first third."""
    epochs = int(request.train.get("max_epochs", TrainSpec().max_epochs))
    median = optuna.pruners.MedianPruner(n_startup_trials=6, n_warmup_steps=max(1, epochs // 3))
    return WindowedPruner(median)


class Stop:
    """Whether to stop: a signal came, the time is up, or the search that started us is gone.

    Looked at between trials, between the steps of a training and between the batches of a frozen
    encoder, never in the middle of a write.
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

    def heed(self) -> None:
        """Raise ``Stopped`` if it is time."""
        if self():
            raise Stopped
