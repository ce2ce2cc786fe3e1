"""Who takes part in a comparison, and what is held equal for all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmbench.comparison.draws import SharedDraws
from mmbench.errors import Incompatible, InvalidParameter
from mmbench.plugins import Plugins
from mmbench.provenance import versions_in
from mmbench.resolve import resolve, resolve_dataset
from mmbench.search.candidates import DEFAULT_FUSION, find_candidates, sequence_encoders
from mmbench.search.idle import idle
from mmbench.search.paradigms import legal_with
from mmbench.search.propose import (
    DEFAULT_ENCODERS,
    DEFAULT_HEADS,
    plainest,
    preferred,
    references,
)
from mmbench.search.request import Candidates
from mmbench.space import Value, params_of, suggest
from mmbench.spec import (
    SCHEMA,
    Component,
    TrainSpec,
    TrialSpec,
    as_document,
    digest,
    train_spec,
    wherever,
)
from mmbench.types import Task

TUNED = ("learning_rate", "weight_decay")
"""Training settings that are tuned; the batch size is not, so that all see the same batches."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A fusion with a training paradigm; a reference if it fuses nothing."""

    label: str
    fusion: Component
    head: str
    objective: str
    reference: bool = False


@dataclass(frozen=True, slots=True)
class ComparisonRequest:
    """What is compared and what is equal. The same request continues the same comparison."""

    task: Component
    contestants: Sequence[Contestant]
    encoders: Mapping[str, Component]
    device: str
    budget: int
    """Tuning trials for each contestant."""
    seeds: int
    seed: int = 0
    train: Mapping[str, Value] = field(default_factory=dict)
    """Training settings that are set, not tuned."""

    def to_dict(self) -> dict[str, Any]:
        return as_document(self)


def comparison_name(request: ComparisonRequest, version: str, plugins: Plugins) -> str:
    """``<task>-compare-<hash>`` of everything that makes two comparisons the same."""
    spaces = {
        f"{c.fusion.name}/{c.objective}": [
            str(p)
            for cls in (plugins.fusions[c.fusion.name], plugins.objectives[c.objective])
            for p in params_of(cls)
        ]
        for c in request.contestants
    }
    asked = wherever(request.to_dict(), "budget", "seeds")
    owners = versions_in(plugins, _components(request, plugins))
    return f"{request.task.name}-compare-{digest([SCHEMA, asked, version, spaces, owners])}"


def _components(request: ComparisonRequest, plugins: Plugins) -> list[tuple[str, str]]:
    """Kind and name of all that takes part."""
    _, dataset = resolve_dataset(request.task, plugins)
    found = [("dataset", request.task.registered), ("metric", dataset.task.metric)]
    found += [("encoder", encoder.name) for encoder in request.encoders.values()]
    for contestant in request.contestants:
        found += [("fusion", contestant.fusion.name), ("head", contestant.head)]
        found += [("objective", contestant.objective)]
    return found


def contestants_of(
    candidates: Candidates, task: Task, plugins: Plugins, *, all_pairs: bool
) -> list[Contestant]:
    """Every fusion under its paradigms, then the references.

    Without ``all_pairs`` paradigms are compared on one fusion, concat where that is legal.
    """
    pairs = [
        (fusion, objective)
        for objective in candidates.objectives
        for fusion in _fusions_of(objective, candidates, plugins, all_pairs=all_pairs)
    ]
    one_paradigm = len(candidates.objectives) == 1
    found = []
    for fusion, objective in pairs:
        heads = legal_with(objective, "head", candidates.heads, plugins)
        label = fusion if one_paradigm else f"{objective} ({fusion})"
        head = preferred(heads, DEFAULT_HEADS)
        found.append(Contestant(label, Component(fusion), head, objective))
    return sorted(found, key=lambda c: c.label) + _references(candidates, task, plugins)


def _fusions_of(
    objective: str, candidates: Candidates, plugins: Plugins, *, all_pairs: bool
) -> list[str]:
    legal = legal_with(objective, "fusion", candidates.fusions, plugins)
    return legal if all_pairs else [preferred(legal, (DEFAULT_FUSION,))]


def _references(candidates: Candidates, task: Task, plugins: Plugins) -> list[Contestant]:
    """What every fusion must beat: the majority, and each modality alone, as well tuned."""
    head = preferred(candidates.heads, DEFAULT_HEADS)
    return [
        Contestant(_label(fusion), fusion, head, plainest(task, plugins), reference=True)
        for fusion in references(task, plugins)
    ]


def _label(fusion: Component) -> str:
    modality = fusion.params.get("modality")
    return f"{fusion.name}-{modality}" if modality else fusion.name


def equal_encoders(
    candidates: Candidates, contestants: Sequence[Contestant], plugins: Plugins
) -> dict[str, Component]:
    """One encoder per modality for all; one that emits a sequence if a contestant needs it."""
    sequences = any(
        plugins.fusions[c.fusion.name].capabilities.needs_sequences for c in contestants
    )
    chosen = {}
    for modality, names in candidates.encoders.items():
        fitting = sequence_encoders(names, plugins) if sequences else list(names)
        chosen[modality] = Component(preferred(fitting, DEFAULT_ENCODERS))
    return chosen


def find_contestants(
    task: Task,
    plugins: Plugins,
    device: str,
    *,
    encoders: Sequence[str],
    fusions: Sequence[str],
    heads: Sequence[str],
    objectives: Sequence[str],
) -> tuple[list[Contestant], dict[str, Component], dict[str, str]]:
    """Contestants, their encoders, and what was left out with the reason."""
    if len(heads) > 1:
        raise InvalidParameter(f"A comparison has one head for all; got {', '.join(heads)}.")
    candidates = find_candidates(
        task, plugins, device,
        encoders=encoders, fusions=fusions, heads=heads,
        objectives=_with_plain(objectives, task, plugins),
    )  # fmt: skip
    found = contestants_of(candidates, task, plugins, all_pairs=bool(fusions) or not objectives)
    if sum(not c.reference for c in found) < 2:
        reasons = "; ".join(candidates.dropped.values())
        raise Incompatible(
            "A comparison needs two contestants or more"
            + (f"; left out: {reasons}." if reasons else "; name more, or `--fusions all`.")
        )
    return found, equal_encoders(candidates, found, plugins), dict(candidates.dropped)


def _with_plain(objectives: Sequence[str], task: Task, plugins: Plugins) -> list[str]:
    """The plain paradigm always takes part: it is what the others are measured against."""
    if list(objectives) == ["all"]:
        return ["all"]
    return list(dict.fromkeys([plainest(task, plugins), *objectives]))


def idle_contestants(request: ComparisonRequest, plugins: Plugins) -> list[str]:
    """Labels of those whose paradigm finds nothing to act on."""
    encoders = request.encoders.values()
    return [
        c.label
        for c in request.contestants
        if not c.reference and idle(c.objective, c.fusion.name, encoders, plugins)
    ]


def tuning_specs(
    request: ComparisonRequest, contestant: Contestant, plugins: Plugins
) -> list[TrialSpec]:
    """What a contestant tries, resolved: its defaults, then random draws shared with the others.

    One that has nothing to tune (the majority class) is trained once.
    """
    trials = range(1 if not _reads(request, contestant, plugins) else request.budget)
    return [resolve(_spec(request, contestant, plugins, i), plugins).spec for i in trials]


def _reads(request: ComparisonRequest, contestant: Contestant, plugins: Plugins) -> Sequence[str]:
    cls = plugins.fusions[contestant.fusion.name]
    return cls.reads(list(request.encoders), **contestant.fusion.params)


def _spec(
    request: ComparisonRequest, contestant: Contestant, plugins: Plugins, trial: int
) -> TrialSpec:
    name, objective = contestant.fusion.name, contestant.objective
    fusion, paradigm, train = dict(contestant.fusion.params), {}, {}
    if trial > 0:
        draws = SharedDraws(request.seed, trial)
        fusion |= suggest(plugins.fusions[name], draws, f"fusion.{name}") | fusion
        paradigm = suggest(plugins.objectives[objective], draws, f"objective.{objective}")
        drawn = suggest(TrainSpec, draws, "train")
        train = {k: v for k, v in drawn.items() if k in TUNED}
    return TrialSpec(
        task=request.task,
        encoders={m: request.encoders[m] for m in _reads(request, contestant, plugins)},
        fusion=Component(name, fusion),
        head=Component(contestant.head),
        objective=Component(objective, paradigm),
        train=train_spec({**train, **request.train}),
        seed=request.seed,
    )
