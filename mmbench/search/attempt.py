"""One trial of a search: propose, check the limits, train, and say how it ended.

Finished, pruned, violated, failed and interrupted are five different ends. A bug is never reported
as pruning, and whatever a trial raises, the search goes on.
"""

import math
import time
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import optuna
import torch
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError

from mmbench.contracts import count_parameters
from mmbench.errors import brief
from mmbench.evaluation.latency import quick_latency_ms
from mmbench.evaluation.preflight import quick_peak_memory_mib
from mmbench.model import FusionModel
from mmbench.plugins import Plugins
from mmbench.provenance import used_by
from mmbench.resolve import Resolved, resolve
from mmbench.search.handing_over import end, hand_back
from mmbench.search.propose import propose
from mmbench.search.request import SearchRequest
from mmbench.search.storage import Turn
from mmbench.search.study import FIXED_SPEC, RECORD, SPEC, State
from mmbench.spec import spec_from_json
from mmbench.together import Wanted, groups_of_one_structure, train_together
from mmbench.trial import Trained, Workbench, main_metric
from mmbench.types import Split


class Stopped(BaseException):
    """The search was asked to stop, or its time is up; not an Exception: nothing may swallow it."""


class Pruned(Exception):
    """The search gave it up for its curve; ``TrialPruned`` from a component is a failure."""


class Violated(Exception):
    """The configuration costs more than a limit of the search allows."""


@dataclass
class Attempt:
    """A trial under way: what it has measured so far, and how it may end."""

    study: optuna.Study
    trial: optuna.Trial
    request: SearchRequest
    plugins: Plugins
    bench: Workbench
    turn: Turn = field(default_factory=nullcontext)
    record: dict[str, Any] = field(default_factory=lambda: {"curve": []})
    resolved: Resolved | None = None
    state: State | None = None
    """How it ended."""
    sign: float = 1.0
    group: int = 1
    """How many train together: each is charged its share of the time."""
    began: float = field(default_factory=time.perf_counter)

    def run(self) -> State:
        """Train one proposal; always leaves a finished Optuna trial with a record."""
        run_together([self])
        assert self.state is not None
        return self.state

    def propose(self) -> None:
        """Find what to train, unless that is known; a trial that fails in this has ended."""
        if self.resolved is not None or self.state is not None:
            return
        try:
            self.resolved = self._resolved()
        except Exception as error:  # noqa: BLE001 - a failed trial must not end the search
            self.end(error)

    def _resolved(self) -> Resolved:
        fixed = self.trial.user_attrs.get(FIXED_SPEC)
        spec = spec_from_json(fixed) if fixed else propose(self.trial, self.request, self.plugins)
        resolved = resolve(spec.at(self.request.task), self.plugins)
        self.sign = main_metric(resolved, self.plugins).sign
        self.trial.set_user_attr(SPEC, resolved.spec.to_json())
        if used := used_by(resolved, self.plugins):
            self.record["plugins"] = used
        return resolved

    def begin(self, group: int) -> Wanted:
        """What is to be trained, as one of ``group``."""
        assert self.resolved is not None
        self.group, self.began = group, time.perf_counter()
        self._announce("trial_started")
        return Wanted(self.resolved.spec, self.end, self._on_epoch, self._on_built)

    def end(self, end: Trained | Exception) -> None:
        """Say how it went: to the study, and to the plugins that listen."""
        match end:
            case StorageInternalError() | UpdateFinishedTrialError():
                self.interrupt()
                return
            case Pruned():
                state: State = "pruned"
            case Violated():
                state = "violated"
            case Exception():
                state = "failed"
                self.record["error"] = "".join(traceback.format_exception(end))
                self.record["reason"] = brief(end)
                if isinstance(end, torch.OutOfMemoryError):
                    torch.cuda.empty_cache()
            case _:
                state = "finished"
                self._note(end)
        self.record["seconds"] = (time.perf_counter() - self.began) / self.group
        self.state = self._tell(state)

    @property
    def is_reference(self) -> bool:
        return FIXED_SPEC in self.trial.user_attrs

    def _on_built(self, model: FusionModel, requests: Split) -> None:
        """Measure the untrained model, so that one that cannot meet the limits costs nothing."""
        model.to(self.bench.device)
        limits = self.request.limits
        costs: dict[str, float] = {"parameters": count_parameters(model)}
        if "latency_ms" in limits or self.request.pareto:
            costs["latency_ms"] = quick_latency_ms(model, requests, self.bench.device)
        if "memory_mib" in limits:
            costs["memory_mib"] = quick_peak_memory_mib(model, requests, self.bench.device)
        self.record |= costs
        excess = {name: costs[name] - limit for name, limit in limits.items()}
        for name, value in excess.items():
            if name not in self.trial.constraints:  # else it is built again, for less memory
                self.trial.set_constraint(name, value)
        if not self.is_reference and any(e > 0 for e in excess.values()):
            self.record["violated"] = {
                name: {"measured": costs[name], "limit": limits[name]}
                for name, e in excess.items()
                if e > 0
            }
            raise Violated

    def _on_epoch(self, epoch: int, values: dict[str, float]) -> None:
        self.record["curve"].append({"epoch": epoch, **values})
        self._announce("epoch_finished", epoch=epoch, values=dict(values))
        if self.request.pareto:
            return  # Optuna cannot prune with several objectives
        if (step := self._step(epoch)) is None:
            return
        self.trial.report(self.sign * values["score"], step)
        if not self.is_reference and self.trial.should_prune():
            raise Pruned

    def _step(self, epoch: int) -> int | None:
        """Which of ``max_epochs`` equal stretches of the training ends with this epoch, if any.

        Small data gets more epochs, the more the larger its batches are: a pruner has to compare
        trials at the same share of their training.
        """
        assert self.resolved is not None
        train = self.resolved.spec.train
        epochs = train.lasting(len(self.bench.load(self.resolved, "train"))).max_epochs
        before, now = (n * train.max_epochs // epochs for n in (epoch, epoch + 1))
        return now - 1 if now > before else None

    def _note(self, trained: Trained) -> None:
        score = trained.fitted.score
        self.record |= {
            "value": score,
            "utility": self.sign * score,
            "best_epoch": trained.fitted.best_epoch,
            "train_seconds": trained.fitted.seconds,
            "curve": trained.fitted.curve,
        }
        if trained.model.micro_batch is not None:
            self.record["micro_batch"] = trained.model.micro_batch

    def _tell(self, state: State) -> State:
        self.record["state"] = state
        record = _json_able(self.record)
        try:
            with self.turn:
                self.trial.set_user_attr(RECORD, record)
                end(self.study, self.trial.number, record)
        except UpdateFinishedTrialError:  # we were silent for so long that another has it
            return "interrupted"
        self._announce("trial_finished", result=record)
        return state

    def _announce(self, hook: str, **values: Any) -> None:
        """Tell the plugins that listen; one that raises is logged, the trial goes on."""
        if self.resolved is None:  # the spec itself could not be
            return
        self.plugins.tell(hook, spec=self.resolved.spec, **values)

    def interrupt(self) -> None:
        """Give the trial back, unless another has it already."""
        with self.turn:
            frozen = self.study.get_trials(deepcopy=False)[self.trial.number]
            if not frozen.state.is_finished():
                hand_back(self.study, frozen)
        self.state = "interrupted"


def run_together(attempts: Sequence[Attempt]) -> None:
    """Train all, those of one structure at once; each is told of its own end."""
    for attempt in attempts:
        attempt.propose()
    going = [attempt for attempt in attempts if attempt.state is None]
    parts = [attempt.resolved for attempt in going if attempt.resolved is not None]
    try:
        for group in groups_of_one_structure(parts, len(parts)):
            wanted = [going[number].begin(len(group)) for number in group]
            train_together(wanted, going[0].plugins, going[0].bench)
    except Stopped:
        for attempt in attempts:
            if attempt.state is None:
                attempt.interrupt()


def _json_able(value: Any) -> Any:
    """NaN and infinity as None: JSON has no word for them."""
    if isinstance(value, dict):
        return {k: _json_able(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_json_able(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
