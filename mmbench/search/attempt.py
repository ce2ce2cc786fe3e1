"""One trial of a search: propose, check the limits, train, and say how it ended.

Finished, pruned, violated, failed and interrupted are five different ends. A bug is never reported
as pruning, and whatever a trial raises, the search goes on.
"""

import logging
import math
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import optuna
import torch
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError

from mmbench.contracts import count_parameters
from mmbench.evaluation.latency import quick_latency_ms
from mmbench.evaluation.preflight import quick_peak_memory_mib
from mmbench.model import FusionModel
from mmbench.plugins import Plugins
from mmbench.resolve import resolve
from mmbench.search.handing_over import end, hand_back
from mmbench.search.propose import propose
from mmbench.search.request import SearchRequest
from mmbench.search.storage import Turn
from mmbench.search.study import FIXED_SPEC, RECORD, SPEC, State
from mmbench.spec import TrialSpec, spec_from_json
from mmbench.trial import Trained, Workbench, main_metric, train_trial
from mmbench.types import Split

CONSTRAINTS = "constraints"
log = logging.getLogger(__name__)


class Stopped(BaseException):
    """The search was asked to stop, or its time is up; not an Exception: nothing may swallow it."""


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
    should_stop: Callable[[], bool]
    turn: Turn = field(default_factory=nullcontext)
    record: dict[str, Any] = field(default_factory=lambda: {"curve": []})
    spec: TrialSpec | None = None
    sign: float = 1.0

    def run(self) -> State:
        """Train one proposal; always leaves a finished Optuna trial with a record."""
        start = time.perf_counter()
        try:
            spec = self._spec()
            trained = train_trial(spec, self.plugins, self.bench, self._on_epoch, self._on_built)
        except (Stopped, StorageInternalError, UpdateFinishedTrialError):
            return self._interrupted()
        except optuna.TrialPruned:
            state: State = "pruned"
        except Violated:
            state = "violated"
        except Exception as error:  # noqa: BLE001 - a failed trial must not end the search
            state = "failed"
            self.record["error"] = traceback.format_exc()
            self.record["reason"] = f"{type(error).__name__}: {error}".splitlines()[0]
            if isinstance(error, torch.OutOfMemoryError):
                torch.cuda.empty_cache()
        else:
            state = "finished"
            self._note(trained)
        self.record["seconds"] = time.perf_counter() - start
        return self._tell(state)

    def _spec(self) -> TrialSpec:
        fixed = self.trial.user_attrs.get(FIXED_SPEC)
        spec = spec_from_json(fixed) if fixed else propose(self.trial, self.request, self.plugins)
        resolved = resolve(spec, self.plugins)
        self.sign = 1.0 if main_metric(resolved, self.plugins).higher_is_better else -1.0
        self.trial.set_user_attr(SPEC, resolved.spec.to_json())
        self.spec = resolved.spec
        self._announce("trial_started")
        return resolved.spec

    @property
    def _is_reference(self) -> bool:
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
        if not excess:
            return
        self.trial.set_user_attr(CONSTRAINTS, list(excess.values()))
        if not self._is_reference and any(e > 0 for e in excess.values()):
            self.record["violated"] = {
                name: {"measured": costs[name], "limit": limits[name]}
                for name, e in excess.items()
                if e > 0
            }
            raise Violated

    def _on_epoch(self, epoch: int, values: dict[str, float]) -> None:
        self.record["curve"].append({"epoch": epoch, **values})
        self._announce("epoch_finished", epoch=epoch, values=dict(values))
        if self.should_stop():
            raise Stopped
        if self.request.pareto:
            return  # Optuna cannot prune with several objectives
        self.trial.report(self.sign * values["score"], epoch)
        if not self._is_reference and self.trial.should_prune():
            raise optuna.TrialPruned

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
        if self.spec is None:  # the spec itself could not be resolved
            return
        try:
            getattr(self.plugins.manager.hook, hook)(spec=self.spec, **values)
        except Exception:
            log.exception("a plugin's %s raised", hook)

    def _interrupted(self) -> State:
        """Give the trial back, unless another has it already."""
        with self.turn:
            frozen = self.study.get_trials(deepcopy=False)[self.trial.number]
            if not frozen.state.is_finished():
                hand_back(self.study, frozen)
        return "interrupted"


def constraints_of(trial: optuna.trial.FrozenTrial) -> list[float]:
    """For Optuna's sampler: positive where a limit is exceeded."""
    return list(trial.user_attrs.get(CONSTRAINTS, []))


def _json_able(value: Any) -> Any:
    """NaN and infinity as None: JSON has no word for them."""
    if isinstance(value, dict):
        return {k: _json_able(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_json_able(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
