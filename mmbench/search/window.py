"""What proposing and pruning look at when a study has thousands of trials: the best, the latest.

TPE reads every trial for every parameter, a pruner for every epoch: at 10,000 trials that takes
longer than many a training. TPE's good group is the 25 best at most (Bergstra et al., "Algorithms
for Hyper-Parameter Optimization", NeurIPS 2011; Optuna's ``default_gamma``), which stay whole here;
the group it compares them with becomes the latest trials instead of all. Smaller studies are seen
as they are.
"""

import heapq
from collections.abc import Container
from typing import Any
from weakref import WeakKeyDictionary

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

BEST, LATEST = 25, 225


class Window(optuna.Study):
    """A study that shows some of its trials."""

    def __init__(self, study: optuna.Study, shown: list[FrozenTrial]) -> None:
        self.__dict__.update(study.__dict__)
        self._shown = shown

    def _get_trials(
        self,
        deepcopy: bool = True,  # noqa: ARG002, FBT001, FBT002 - Optuna's signature
        states: Container[TrialState] | None = None,
        use_cache: bool = False,  # noqa: ARG002, FBT001, FBT002
    ) -> list[FrozenTrial]:
        return [t for t in self._shown if states is None or t.state in states]


_under_way: WeakKeyDictionary[optuna.Study, tuple[int, optuna.Study]] = WeakKeyDictionary()
"""The trial each study of this process is at, with its window: made once, looked through often."""


def window_of(study: optuna.Study, trial: FrozenTrial) -> optuna.Study:
    """What the sampler and the pruner of ``trial`` see of its study."""
    if trial.number <= BEST + LATEST:
        return study
    number, window = _under_way.get(study, (-1, study))
    if number != trial.number:
        window = Window(study, best_and_latest(study.get_trials(deepcopy=False), study.directions))
        _under_way[study] = trial.number, window
    return window


def best_and_latest(
    trials: list[FrozenTrial], directions: list[optuna.study.StudyDirection]
) -> list[FrozenTrial]:
    """The best by each objective, and the latest; in order."""
    complete = [t for t in trials if t.state is TrialState.COMPLETE]
    chosen = {t.number: t for t in trials[-LATEST:]}
    for i, direction in enumerate(directions):
        up = direction == optuna.study.StudyDirection.MAXIMIZE
        extreme = heapq.nlargest if up else heapq.nsmallest
        best = extreme(BEST, complete, key=lambda t, i=i: t.values[i])  # type: ignore[misc]
        chosen |= {t.number: t for t in best}
    return [chosen[number] for number in sorted(chosen)]


class WindowedTPE(optuna.samplers.TPESampler):
    """Optuna's TPE, looking through a window."""

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return super().sample_relative(window_of(study, trial), trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        window = window_of(study, trial)
        return super().sample_independent(window, trial, param_name, param_distribution)


class WindowedPruner(optuna.pruners.BasePruner):
    """Another pruner, looking through a window."""

    def __init__(self, pruner: optuna.pruners.BasePruner) -> None:
        self.pruner = pruner

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return self.pruner.prune(window_of(study, trial), trial)
