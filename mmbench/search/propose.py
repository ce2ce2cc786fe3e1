"""Turn an Optuna trial into a TrialSpec. The study proposes; the spec is what is kept."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from typing import Literal

import torch

from mmbench.augmentation import BY_KIND
from mmbench.contracts import Fusion, count_parameters
from mmbench.plugins import Plugins
from mmbench.resolve import resolve, resolve_dataset
from mmbench.search.candidates import DEFAULT_FUSION, sequence_encoders
from mmbench.search.idle import idle
from mmbench.search.paradigms import legal_with
from mmbench.search.request import Candidates, SearchRequest
from mmbench.space import Suggests, Value, enqueueable, params_of, suggest
from mmbench.spec import Component, TrainSpec, TrialSpec, train_spec
from mmbench.types import Task

NOT_SEARCHED = [param.name for param in params_of(TrainSpec) if param.domain is None]
"""Settings of training that every trial has alike, references too: how long, above all."""
DEFAULT_HEADS = ("gru-decoder", "mlp")
"""Sequences are said token by token; what is no sequence has no decoder."""
DEFAULT_OBJECTIVES = ("plain", "info-nce")
"""The plainest paradigm of each kind of target: what is answered together, and retrieval."""
NOMINAL_WIDTH = 64
DEFAULT_ENCODERS = ("cnn", "bag-of-words", "mlp", "conv1d", "mel-cnn")
"""Tried first where they fit: the cheapest sound encoder of each kind."""
HAND_MADE = (
    *("hog", "hog-colours", "pixels", "regions", "tfidf", "hashed-ngrams", "boosted-trees"),
    *("vector", "mfcc-grid", "mfcc-statistics", "series-statistics"),
)
"""Of each kind the features that nothing trains: computed once, then every trial is cheap."""
CHEAPEST = (*HAND_MADE, *DEFAULT_ENCODERS)
OTHERS = (*reversed(HAND_MADE), *DEFAULT_ENCODERS)
"""Of two kinds of hand-made features the other one: no kind suits photographs and drawings."""


def propose(trial: Suggests, request: SearchRequest, plugins: Plugins) -> TrialSpec:
    """Ask for a paradigm, for a fusion legal with it, for encoders legal with that, the rest."""
    chosen = request.candidates
    objective = trial.suggest_categorical("objective", list(chosen.objectives))
    fusion = trial.suggest_categorical(*_choice("fusion", objective, chosen.fusions, plugins))
    fusion_cls = plugins.fusions[fusion]
    encoders = {}
    for modality in fusion_cls.reads(list(chosen.encoders)):
        key, names = _encoder_choice(modality, fusion_cls, request, plugins)
        name = trial.suggest_categorical(key, names)
        params = suggest(plugins.encoders[name], trial, f"encoder.{modality}.{name}")
        encoders[modality] = Component(name, params)
    head = trial.suggest_categorical(*_choice("head", objective, chosen.heads, plugins))
    unused = BY_KIND.keys() - chosen.augmentations
    searched = suggest(TrainSpec, trial, "train", without={*NOT_SEARCHED, *unused})
    if idle(objective, fusion, encoders.values(), plugins):
        # no board shall praise a paradigm for what the plain one did
        objective = plainest(resolve_dataset(request.task, plugins)[1].task, plugins)
    return TrialSpec(
        task=request.task,
        encoders=encoders,
        fusion=Component(fusion, suggest(fusion_cls, trial, f"fusion.{fusion}")),
        head=Component(head, suggest(plugins.heads[head], trial, f"head.{head}")),
        objective=Component(
            objective, suggest(plugins.objectives[objective], trial, f"objective.{objective}")
        ),
        train=train_spec({**searched, **request.train}),
        seed=request.seed,
    )


def _choice(
    kind: Literal["fusion", "head"], objective: str, names: Sequence[str], plugins: Plugins
) -> tuple[str, list[str]]:
    """The name of the choice and its options, as for encoders."""
    legal = legal_with(objective, kind, names, plugins)
    return kind if legal == list(names) else f"{kind}.{objective}", legal


def _encoder_choice(
    modality: str, fusion: type[Fusion], request: SearchRequest, plugins: Plugins
) -> tuple[str, list[str]]:
    """The name of the choice and its options: two lists must not share one Optuna name."""
    names = list(request.candidates.encoders[modality])
    legal = sequence_encoders(names, plugins) if fusion.capabilities.needs_sequences else names
    legal = legal or names  # none emits sequences: that the two don't match is said by `resolve`
    return f"encoder.{modality}" + ("" if legal == names else ".sequence"), legal


def default_spec(
    request: SearchRequest,
    plugins: Plugins,
    fusion: Component | None = None,
    encoders: Sequence[str] = DEFAULT_ENCODERS,
) -> TrialSpec:
    """Every choice at its default: what a trial is when nothing is searched.

    ``encoders``: names to prefer, where they fit.
    """
    chosen = request.candidates
    fusion = fusion or Component(preferred(chosen.fusions, (DEFAULT_FUSION,)))
    objective = _default_objective(fusion.name, chosen, plugins)
    heads = legal_with(objective, "head", chosen.heads, plugins)
    fusion_cls = plugins.fusions[fusion.name]
    return TrialSpec(
        task=request.task,
        encoders={
            m: Component(preferred(_encoder_choice(m, fusion_cls, request, plugins)[1], encoders))
            for m in fusion_cls.reads(list(chosen.encoders), **fusion.params)
        },
        fusion=fusion,
        head=Component(preferred(heads, DEFAULT_HEADS)),
        objective=Component(objective),
        train=train_spec(request.train),
        seed=request.seed,
    )


def _default_objective(fusion: str, chosen: Candidates, plugins: Plugins) -> str:
    """The plain paradigm, or the first that is defined with this fusion; baselines are plain."""
    legal = [o for o in chosen.objectives if legal_with(o, "fusion", [fusion], plugins)]
    return preferred(legal or DEFAULT_OBJECTIVES, DEFAULT_OBJECTIVES)


def reference_specs(
    request: SearchRequest, plugins: Plugins, known: Collection[str] = ()
) -> list[TrialSpec]:
    """What every fusion must beat, with hand-made features first, then with the default encoders.

    Fusion would look better than it is beside a modality alone that reads poorer features.
    """
    _, dataset = resolve_dataset(request.task, plugins)
    specs = [
        default_spec(request, plugins, fusion, encoders)
        for encoders in (CHEAPEST, OTHERS, DEFAULT_ENCODERS)
        for fusion in references(dataset.task, plugins)
    ]
    return _unknown(_distinct(specs), plugins, known)


def references(task: Task, plugins: Plugins) -> list[Component]:
    """The majority class and each modality alone; none that cannot answer what the task asks."""
    alone = [Component("only", {"modality": m}) for m in task.modalities]
    return [
        fusion
        for fusion in (Component("majority"), *alone)
        if task.target in plugins.fusions[fusion.name].capabilities.targets
    ]


def plainest(task: Task, plugins: Plugins) -> str:
    """The name of the plainest paradigm that trains this kind of target."""
    return next(o for o in DEFAULT_OBJECTIVES if task.target in plugins.objectives[o].targets)


def _distinct(specs: Sequence[TrialSpec]) -> list[TrialSpec]:
    return [spec for i, spec in enumerate(specs) if spec not in specs[:i]]


def _unknown(
    specs: Sequence[TrialSpec], plugins: Plugins, known: Collection[str]
) -> list[TrialSpec]:
    return [s for s in specs if not known or resolve(s, plugins).spec.id not in known]


def default_proposals(
    request: SearchRequest, plugins: Plugins, known: Collection[str] = ()
) -> list[dict[str, Value]]:
    """Each fusion at its defaults, as Optuna parameters to enqueue.

    Of features that nothing trains, which costs little, and of encoders that train. Concat, then
    the smallest first, so that an early end has seen the most; those that attend over tokens last,
    since they cost many times as much.
    ``known``: ids of specifications that need not be tried again.
    """

    def order(name: str) -> tuple[bool, bool, float]:
        cls = plugins.fusions[name]
        return (
            cls.capabilities.needs_sequences,
            name != DEFAULT_FUSION,
            _size(cls, request.candidates.encoders),
        )

    names = sorted(request.candidates.fusions, key=order)
    specs = [
        default_spec(request, plugins, Component(name), encoders)
        for name in names
        for encoders in (CHEAPEST, DEFAULT_ENCODERS)
    ]
    new = _unknown(_distinct(specs), plugins, known)
    return [as_proposal(spec, request, plugins) for spec in new]


def opening(
    request: SearchRequest, plugins: Plugins, known: Collection[str] = ()
) -> list[dict[str, Value]]:
    """The very first trials, if any encoder is hand-made: the default fusion of such features.

    With little data they are hard to beat, and who stops early has a result.
    """
    specs = [default_spec(request, plugins, encoders=order) for order in (CHEAPEST, OTHERS)]
    made = [spec for spec in _distinct(specs) if spec != default_spec(request, plugins)]
    return [as_proposal(s, request, plugins) for s in _unknown(made, plugins, known)]


def _size(fusion: type[Fusion], modalities: Iterable[str]) -> float:
    """Parameters at its defaults and a nominal width, without memory being taken for them.

    Over the catalogue their ranks agree with those of measured times (Spearman 0.86) as well as
    those of floating-point operations (0.89), which take seconds to count.
    """
    try:
        with torch.device("meta"):
            return count_parameters(fusion(dict.fromkeys(modalities, NOMINAL_WIDTH)))
    except Exception:  # noqa: BLE001 - its own trial will say what is wrong with it
        return math.inf


def as_proposal(spec: TrialSpec, request: SearchRequest, plugins: Plugins) -> dict[str, Value]:
    """The Optuna parameters for which ``propose`` gives ``spec``."""
    fusion_cls = plugins.fusions[spec.fusion.name]
    objective, head, chosen = spec.objective, spec.head, request.candidates
    fusion_choice, _ = _choice("fusion", objective.name, chosen.fusions, plugins)
    head_choice, _ = _choice("head", objective.name, chosen.heads, plugins)
    objective_cls = plugins.objectives[objective.name]
    proposal: dict[str, Value] = {
        "objective": objective.name,
        fusion_choice: spec.fusion.name,
        head_choice: head.name,
        **enqueueable(fusion_cls, spec.fusion.params, f"fusion.{spec.fusion.name}"),
        **enqueueable(plugins.heads[head.name], head.params, f"head.{head.name}"),
        **enqueueable(objective_cls, objective.params, f"objective.{objective.name}"),
        **enqueueable(TrainSpec, asdict(spec.train), "train"),
    }
    for modality, encoder in spec.encoders.items():
        key, _ = _encoder_choice(modality, fusion_cls, request, plugins)
        proposal[key] = encoder.name
        cls = plugins.encoders[encoder.name]
        proposal |= enqueueable(cls, encoder.params, f"encoder.{modality}.{encoder.name}")
    return proposal


def preferred(names: Sequence[str], preferred: Sequence[str]) -> str:
    return next((name for name in preferred if name in names), names[0])
