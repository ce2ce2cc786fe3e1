"""Trials that share a structure, taken and trained together.

A search asks Optuna for one proposal; the others of its group have the same choices and whole
numbers, and TPE draws their learning rate, weight decay, dropout and the like. The queue goes
first: while baselines, defaults or trials handed back wait, trials are taken one by one.
"""

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import FrozenTrial

from mmbench.search.attempt import Attempt
from mmbench.search.window import WindowedTPE
from mmbench.together import structure

MOST = 4
"""Of one structure at once. With 1, 4 and 8 a search of ``synergy`` does as well in the same time,
over four repeats; the fewer, the more structures a short one sees."""
STRUCTURES = 16
"""A budget of trials must be enough for so many more of them, or trials are taken one by one."""


def siblings_wanted(together: int, trials_left: int | None) -> int:
    """How many more to take of a structure; ``trials_left`` is None if there is no such limit."""
    affordable = together if trials_left is None else (trials_left + 1) // STRUCTURES
    return max(1, min(together, MOST, affordable)) - 1


class SiblingTPE(WindowedTPE):
    """TPE for the float parameters; the others are those of a given trial."""

    def __init__(self, fixed: Mapping[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self.fixed = fixed

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        if param_name in self.fixed:
            return self.fixed[param_name]
        return super().sample_independent(study, trial, param_name, param_distribution)


def shared_by_siblings(first: Attempt) -> dict[str, Any] | None:
    """All that is no float, of a trial that can train with others; else None."""
    if first.is_reference or first.resolved is None or structure(first.resolved) is None:
        return None
    kinds, params = first.trial.distributions, first.trial.params
    return {k: v for k, v in params.items() if not isinstance(kinds[k], FloatDistribution)}
