"""Which paradigms there are to try, and the fusions and heads that each is defined with."""

from collections.abc import Iterable, Sequence
from typing import Literal

from mmbench.contracts import Fusion, Objective
from mmbench.plugins import Plugins
from mmbench.resolve import objective_misfit
from mmbench.search.fitting import fitting, named
from mmbench.types import Task

Part = Literal["fusion", "head"]


def legal_with(objective: str, kind: Part, names: Sequence[str], plugins: Plugins) -> list[str]:
    """Those fusions, or heads, that a paradigm is defined with."""
    allowed = plugins.objectives[objective].requires.get(kind)
    return [name for name in names if allowed is None or name in allowed]


def legal_objectives(
    task: Task,
    plugins: Plugins,
    wanted: Sequence[str],
    fusions: Sequence[str],
    heads: Sequence[str],
    dropped: dict[str, str],
    *,
    trains: bool,
) -> list[str]:
    """``trains``: whether any encoder does."""

    def why_not(name: str) -> str | None:
        if reason := objective_misfit(plugins.objectives[name], task):
            return reason
        if not trains and (reason := _is_plain(plugins.objectives[name], fusions, plugins)):
            return reason
        reason = _lacks("fusion", name, fusions, plugins)
        return reason or _lacks("head", name, heads, plugins)

    return fitting(named(plugins.objectives, wanted), why_not, dropped)


def _is_plain(objective: type[Objective], fusions: Iterable[str], plugins: Plugins) -> str | None:
    """Why a paradigm does nothing of its own where no encoder trains, whatever the fusion."""
    if any(acts(objective, plugins.fusions[name], encoders_train=False) for name in fusions):
        return None
    if objective.acts_on_encoders:
        return (
            f"{objective.name} acts on encoders while they train; all there are to try are frozen"
        )
    return (
        f"{objective.name} acts on encoders while they train, or through a fusion of decisions; "
        f"all encoders there are to try are frozen, and there is no such fusion"
    )


def acts(objective: type[Objective], fusion: type[Fusion], *, encoders_train: bool) -> bool:
    """Whether a paradigm does anything that the plain one does not."""
    if encoders_train or not (objective.acts_on_encoders or objective.acts_on_heads):
        return True
    return not objective.acts_on_encoders and fusion.capabilities.level == "decision"


def _lacks(kind: Part, objective: str, names: Sequence[str], plugins: Plugins) -> str | None:
    """What a paradigm is defined with and nobody asked for."""
    allowed = plugins.objectives[objective].requires.get(kind)
    if not allowed or set(allowed) & set(names):
        return None
    return f"{objective} is defined with the {kind} {' or '.join(allowed)}, which was not asked for"


def required(
    kind: Part, objectives: Sequence[str], plugins: Plugins, there: Sequence[str]
) -> list[str]:
    """What the paradigms asked for are defined with, if nothing else was asked for."""
    required = [plugins.objectives[name].requires.get(kind, ()) for name in objectives]
    return [names[0] for names in required if names and not set(names) & set(there)]


def wanted_by_any(
    kind: Part,
    names: Sequence[str],
    objectives: Sequence[str],
    plugins: Plugins,
    dropped: dict[str, str],
) -> list[str]:
    kept = []
    for name in names:
        if any(legal_with(o, kind, [name], plugins) for o in objectives):
            kept.append(name)
        elif objectives:
            dropped[name] = f"{name} is no {kind} that {' or '.join(objectives)} is defined with"
    return kept
