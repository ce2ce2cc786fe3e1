"""What proposing and pruning look at when a study has thousands of trials: the best, the latest.

TPE reads every trial for every parameter, a pruner for every epoch: at 10,000 trials that takes
longer than many a training. TPE's good group is the 25 best at most (Bergstra et al., "Algorithms
for Hyper-Parameter Optimization", NeurIPS 2011; Optuna's ``default_gamma``), which stay whole here;
the group it compares them with becomes the latest trials instead of all. Smaller studies are seen
as they are.
"""

import heapq
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
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


@dataclass
class Seen:
    """How far a study has been read: of its first ``ended`` trials only the best are kept."""

    ended: int = 0
    best: list[FrozenTrial] = field(default_factory=list)
    number: int = -1
    window: optuna.Study | None = None
    """Of the trial ``number``, which is under way."""


_seen: WeakKeyDictionary[optuna.Study, Seen] = WeakKeyDictionary()
"""Of each study of this process: a window is made once and looked through often."""


def window_of(study: optuna.Study, trial: FrozenTrial) -> optuna.Study:
    """What the sampler and the pruner of ``trial`` see of its study."""
    if trial.number <= BEST + LATEST:
        return study
    seen = _seen.setdefault(study, Seen())
    if seen.window is None or seen.number != trial.number:
        shown = best_and_latest(study.get_trials(deepcopy=False), study.directions, seen)
        seen.number, seen.window = trial.number, Window(study, shown)
    return seen.window


def best_and_latest(
    trials: list[FrozenTrial], directions: list[StudyDirection], seen: Seen
) -> list[FrozenTrial]:
    """The best by each objective, and the latest, in order; what has ended is looked at once."""
    complete = [t for t in trials[seen.ended :] if t.state is TrialState.COMPLETE] + seen.best
    best: dict[int, FrozenTrial] = {}
    for i, direction in enumerate(directions):
        extreme = heapq.nlargest if direction == StudyDirection.MAXIMIZE else heapq.nsmallest
        best |= {t.number: t for t in extreme(BEST, complete, key=lambda t, i=i: t.values[i])}  # type: ignore[misc]
    seen.best = list(best.values())
    while seen.ended < len(trials) and trials[seen.ended].state.is_finished():
        seen.ended += 1
    chosen = best | {t.number: t for t in trials[-LATEST:]}
    return [chosen[number] for number in sorted(chosen)]


class WindowedTPE(optuna.samplers.TPESampler):
    """Optuna's TPE, looking through a window; each parameter is drawn by itself.

    Optuna's default draws together what all ended trials have in common. In a conditional space
    that is little, and nothing once a reference, which has no parameters, has ended.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(multivariate=False, **options)

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
