"""Start a study from the trials of an earlier one that asked the same with other candidates.

Optuna's categories cannot change within a study, so a newly installed plugin means a new study.
What was learnt before is not lost: every trial that the new study could have proposed itself, and
that was made by the very plugins that are installed now, is taken over as it ended. It costs
nothing of the budget.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FixedTrial, FrozenTrial

from mmbench.errors import MMBenchError
from mmbench.plugins import Plugins
from mmbench.provenance import used_by
from mmbench.resolve import resolve
from mmbench.search.propose import as_proposal, propose
from mmbench.search.request import SearchRequest, asks_the_same, question
from mmbench.search.study import (
    FIXED_SPEC,
    QUESTION,
    RECORD,
    REQUEST,
    SPEC,
    TAKEN_OVER,
    state_of,
)
from mmbench.spec import TrialSpec, spec_from_json

INHERITED = "inherited"
KEPT_STATES = ("finished", "pruned")


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What an earlier study leaves to a new one."""

    study: str
    trials: Sequence[FrozenTrial]
    specs: frozenset[str]
    """Ids of what has been tried to its end: it need not be queued again."""
    left_out: int
    """Trials that the new study could not have proposed, or that other plugins made."""

    def __str__(self) -> str:
        text = f"{len(self.trials)} trials of {self.study} are taken over"
        return f"{text}; {self.left_out} do not fit any more" if self.left_out else text


def inheritance(
    earlier: Iterable[optuna.Study], request: SearchRequest, plugins: Plugins
) -> Inheritance | None:
    """Of the first of ``earlier`` that asked the same and left anything; None if there is none."""
    asked = question(request, plugins)
    for study in earlier:
        if study.user_attrs.get(QUESTION) != asked:
            continue
        ended = [t for t in study.get_trials(deepcopy=False) if state_of(t) in KEPT_STATES]
        found = [(t, again) for t in ended if (again := _again(t, study, request, plugins))]
        if found:
            finished = {_spec(t).id for t, _ in found if state_of(t) == "finished"}
            trials = [again for _, again in found]
            return Inheritance(
                study.study_name, trials, frozenset(finished), len(ended) - len(trials)
            )
    return None


def outdated(
    earlier: Iterable[optuna.Study], request: SearchRequest, plugins: Plugins
) -> str | None:
    """The first of ``earlier`` with the same request, of other versions; None if there is none."""
    asked = question(request, plugins)
    for study in earlier:
        kept = study.user_attrs
        if (
            kept.get(QUESTION) != asked
            and REQUEST in kept
            and asks_the_same(kept[REQUEST], request)
        ):
            return study.study_name
    return None


def take_over(study: optuna.Study, inherited: Inheritance) -> None:
    """Add the trials of an earlier study to one that is being made, before it is complete."""
    there = [t.user_attrs[TAKEN_OVER] for t in study.get_trials(deepcopy=False) if is_taken_over(t)]
    for trial in inherited.trials:
        if trial.user_attrs[TAKEN_OVER] not in there:  # it was cut off while it did this
            study.add_trial(trial)
    study.set_user_attr(
        INHERITED,
        {
            "study": inherited.study,
            "trials": len(inherited.trials),
            "left_out": inherited.left_out,
        },
    )


def is_taken_over(trial: FrozenTrial) -> bool:
    return TAKEN_OVER in trial.user_attrs


def _again(
    trial: FrozenTrial, study: optuna.Study, request: SearchRequest, plugins: Plugins
) -> FrozenTrial | None:
    """The same trial in the words of the new study; None if that study could not propose it."""
    try:
        spec = _spec(trial).at(request.task)
        resolved = resolve(spec, plugins)
        if resolved.spec != spec:
            return None  # a component has other settings now
        if trial.user_attrs[RECORD].get("plugins", []) != used_by(resolved, plugins):
            return None  # another version or content made it
        asked = FixedTrial({} if _is_reference(trial) else as_proposal(spec, request, plugins))
        if (
            not _is_reference(trial)
            and resolve(propose(asked, request, plugins), plugins).spec != spec
        ):
            return None
    except (MMBenchError, ValueError, KeyError):
        return None
    origin = {"study": study.study_name, "number": trial.number}
    kept = {k: v for k, v in trial.user_attrs.items() if k in CARRIED}
    return optuna.trial.create_trial(
        state=trial.state,
        values=trial.values,
        params=asked.params,
        distributions=asked.distributions,
        user_attrs={TAKEN_OVER: origin, **kept},
        constraints=trial.constraints,
        intermediate_values=trial.intermediate_values,
    )


CARRIED = (SPEC, RECORD, FIXED_SPEC, TAKEN_OVER)
"""A trial that was taken over before keeps its first origin."""


def _is_reference(trial: FrozenTrial) -> bool:
    return FIXED_SPEC in trial.user_attrs


def _spec(trial: FrozenTrial) -> TrialSpec:
    return spec_from_json(trial.user_attrs[SPEC])
