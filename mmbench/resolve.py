"""Spec + plugins → checked classes with every default written out, or a clear error.

Everything that can be known to be wrong before a model is built is found here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from mmbench.augmentation import in_effect
from mmbench.contracts import Dataset, Encoder, Fusion, Head, Objective
from mmbench.errors import Incompatible, InvalidParameter, UnknownName, did_you_mean
from mmbench.plugins import Plugins
from mmbench.registry import Registry
from mmbench.space import validate
from mmbench.spec import Component, TrainSpec, TrialSpec, train_spec
from mmbench.types import Kind, TargetKind, Task

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A spec whose every name is a class and whose every parameter is written out."""

    spec: TrialSpec
    dataset: Dataset
    encoders: Mapping[str, type[Encoder]]
    fusion: type[Fusion]
    head: type[Head]
    objective: type[Objective]

    @property
    def task(self) -> Task:
        return self.dataset.task


def resolve_dataset(task: Component, plugins: Plugins) -> tuple[Component, Dataset]:
    """A task's name and parameters → its data set.

    What follows a dot, as in ``table.pets``, is a label: boards and studies go by the whole name.
    """
    try:
        cls = plugins.datasets[task.registered]
    except UnknownName as error:
        raise UnknownName(str(error).replace("dataset named", "task named")) from None
    if strange := sorted(task.places.keys() - cls.places):
        raise InvalidParameter(
            f"task {task.name}: {strange[0]!r} does not say where its data lie. "
            f"Allowed: {', '.join(sorted(cls.places)) or 'nothing, they come with it'}."
        )
    params = validate(cls, {**task.places, **task.params}, f"task {task.name}")
    dataset = cls(**params)
    places = {name: params.pop(name) for name in sorted(cls.places) if params.get(name)}
    return Component(task.name, params, places, dataset.version if cls.places else ""), dataset


def resolve(spec: TrialSpec, plugins: Plugins, dataset: Dataset | None = None) -> Resolved:
    """Check ``spec`` as a whole; encoders of modalities the fusion does not read are dropped.

    ``dataset`` stands in for the one that the spec names, where that may not be at hand.
    """
    task_component = spec.task
    if dataset is None:
        task_component, dataset = resolve_dataset(spec.task, plugins)
    task = dataset.task
    fusion_cls, fusion = _component(plugins.fusions, spec.fusion)
    reads = _modalities_read(fusion_cls, fusion, task)
    encoders = {m: _encoder(spec, m, task, plugins) for m in reads}
    classes = {m: cls for m, (cls, _) in encoders.items()}
    components = {m: component for m, (_, component) in encoders.items()}
    read = {m: task.modalities[m] for m in reads}
    if reason := misfit(fusion_cls, read, classes, target=task.target):
        raise Incompatible(f"{reason}.")
    head_cls, head = _component(plugins.heads, spec.head)
    if reason := head_misfit(head_cls, task):
        raise Incompatible(f"{reason}.")
    objective_cls, objective = _component(plugins.objectives, spec.objective)
    if reason := objective_misfit(objective_cls, task, fusion.name, head.name):
        raise Incompatible(f"{reason}.")
    full = replace(
        spec,
        task=task_component,
        encoders=components,
        fusion=fusion,
        head=head,
        objective=objective,
        train=_train(spec.train, task, classes, components),
    )
    return Resolved(full, dataset, classes, fusion_cls, head_cls, objective_cls)


def _train(
    given: TrainSpec,
    task: Task,
    classes: Mapping[str, type[Encoder]],
    encoders: Mapping[str, Component],
) -> TrainSpec:
    """Checked, and without augmentations of what is encoded once or not at all."""
    train = train_spec({k: getattr(given, k) for k in type(given).__slots__})
    trained = {m: cls for m, cls in classes.items() if trains(cls, encoders[m])}
    return in_effect(train, task, trained)


def trains(encoder: type[Encoder], component: Component) -> bool:
    """Whether it learns in training, as it is set."""
    return not (encoder.frozen or component.params.get("frozen"))


def _component(registry: Registry[T], given: Component) -> tuple[type[T], Component]:
    cls = registry[given.name]
    owner = f"{registry.kind} {given.name}"
    return cls, Component(given.name, validate(cls, given.params, owner))


def _modalities_read(cls: type[Fusion], fusion: Component, task: Task) -> list[str]:
    reads = list(cls.reads(list(task.modalities), **fusion.params))
    for modality in reads:
        if modality not in task.modalities:
            raise UnknownName(
                f"The task has no modality {modality!r}.{did_you_mean(modality, task.modalities)} "
                f"It has: {', '.join(task.modalities)}."
            )
    return reads


def _encoder(
    spec: TrialSpec, modality: str, task: Task, plugins: Plugins
) -> tuple[type[Encoder], Component]:
    if unknown := sorted(spec.encoders.keys() - task.modalities.keys()):
        raise UnknownName(
            f"An encoder is given for {unknown[0]!r}, which is no modality of the task."
            f"{did_you_mean(unknown[0], task.modalities)} It has: {', '.join(task.modalities)}."
        )
    if modality not in spec.encoders:
        raise Incompatible(f"No encoder is given for the modality {modality!r}.")
    cls, component = _component(plugins.encoders, spec.encoders[modality])
    if cls.accepts != task.modalities[modality]:
        fitting = sorted(
            name for name, e in plugins.encoders.items() if e.accepts == task.modalities[modality]
        )
        raise Incompatible(
            f"encoder {cls.name} reads {cls.accepts}; {modality} is {task.modalities[modality]}. "
            f"Encoders that fit: {', '.join(fitting) or 'none installed'}."
        )
    return cls, component


def misfit(
    fusion: type[Fusion],
    modalities: Mapping[str, Kind],
    encoders: Mapping[str, type[Encoder]] | None = None,
    *,
    target: TargetKind,
) -> str | None:
    """Why these parts cannot be combined, or None if they can; asked before anything is built."""
    needs, n = fusion.capabilities, len(modalities)
    there = f"there are {n} ({', '.join(modalities)})"
    if target not in needs.targets:
        targets = ", ".join(sorted(needs.targets))
        return f"{fusion.name} serves {targets}; the task is {target}"
    if wrong := _wrong_number(n, needs.min_modalities, needs.max_modalities):
        return f"{fusion.name} {wrong}; {there}"
    if needs.needs_sequences and encoders is not None:
        for modality, encoder in encoders.items():
            if not encoder.emits_sequences:
                return (
                    f"{fusion.name} attends over tokens, but encoder {encoder.name} gives one "
                    f"vector for {modality}; choose an encoder that emits a sequence"
                )
    return None


def _wrong_number(n: int, least: int, most: int | None) -> str | None:
    if n < least:
        return f"needs at least {least} modalities"
    return None if most is None or n <= most else f"takes at most {most} modalities"


def head_misfit(head: type[Head], task: Task) -> str | None:
    """Why a head cannot give what this task asks for, or None if it can."""
    if task.target in head.targets:
        return None
    return f"head {head.name} gives {', '.join(sorted(head.targets))}; the task is {task.target}"


def objective_misfit(
    objective: type[Objective], task: Task, fusion: str | None = None, head: str | None = None
) -> str | None:
    """Why a paradigm cannot train this task, or not with this fusion or head; None if it can."""
    if task.target not in objective.targets:
        targets = ", ".join(sorted(objective.targets))
        return f"objective {objective.name} trains {targets}; the task is {task.target}"
    n = len(task.modalities)
    if wrong := _wrong_number(n, objective.min_modalities, objective.max_modalities):
        there = f"the task has {n} ({', '.join(task.modalities)})"
        return f"objective {objective.name} {wrong}; {there}"
    for kind, name in (("fusion", fusion), ("head", head)):
        allowed = objective.requires.get(kind)  # type: ignore[call-overload]
        if name is not None and allowed and name not in allowed:
            return (
                f"objective {objective.name} is defined with the {kind} {' or '.join(allowed)}; "
                f"{name} is given"
            )
    return None
