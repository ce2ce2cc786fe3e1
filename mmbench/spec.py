"""What a trial is, as data. A spec says everything needed to run the trial again."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from typing import Annotated, Any

from mmbench.errors import InvalidParameter, InvalidSpec, did_you_mean
from mmbench.space import Choice, Range, Value, validate

SCHEMA = 1
YOUNGER = ("precision", "min_steps", "crop", "flip", "word_dropout", "noise", "speed")
"""Settings of training that came after the first rows."""
FLOAT32, BFLOAT16 = "float32", "bfloat16"
LEAST_STEPS = 1000
"""Of a new configuration: ten epochs of a few hundred rows would be a training not begun."""


@dataclass(frozen=True, slots=True)
class Component:
    """One component by its registered name, with its hyperparameters."""

    name: str
    params: Mapping[str, Value] = field(default_factory=dict)
    places: Mapping[str, Value] = field(default_factory=dict)
    """Of a task: parameters that only say where its data lie. No part of an id."""
    content: str = ""
    """The version of the data that were found there, which is."""

    @property
    def registered(self) -> str:
        """What it is registered as: of ``table.pets`` ``table``, for what follows is a label."""
        return self.name.partition(".")[0]

    def but(self, params: Mapping[str, Value]) -> "Component":
        """The same with these parameters set."""
        return replace(self, params={**self.params, **params})

    def __str__(self) -> str:
        """``cnn``, or ``cnn(depth=4)``."""
        params = ", ".join(f"{k}={v}" for k, v in self.params.items())
        return f"{self.name}({params})" if params else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSpec:
    """How a model is trained; searched like any component's signature."""

    learning_rate: Annotated[float, Range(3e-4, 2e-2, log=True)] = 4e-3
    weight_decay: Annotated[float, Range(1e-6, 1e1, log=True)] = 1e-2
    """Above one it is what ridge is to least squares: for many features that nothing trains."""
    batch_size: Annotated[int, Choice(64, 128, 256, 512)] = 128
    max_epochs: int = 10
    patience: int = 3
    min_steps: int = 0
    """With few rows ``max_epochs`` and ``patience`` grow together, until there are as many steps.

    0: epochs are as many as named. So are they in rows that are older than this setting.
    """
    warmup: float = 0.2
    """Share of all steps during which the learning rate rises, before it falls along a cosine."""
    clip: float = 1.0
    """Largest norm of the whole gradient."""
    precision: str = FLOAT32
    """``bfloat16``: matrix products in half precision, which a GPU does several times as fast."""
    crop: Annotated[float, Choice(0.0, 0.1, 0.2)] = 0.0
    """Images and videos move by at most this share of their sides, sounds of their length."""
    flip: Annotated[float, Choice(0.0, 0.5)] = 0.0
    """This share of them is mirrored, where the task says that they mean the same."""
    word_dropout: Annotated[float, Choice(0.0, 0.1, 0.2)] = 0.0
    """Share of the words of a text that are as if never seen, in training."""
    noise: Annotated[float, Choice(0.0, 0.1, 0.2)] = 0.0
    """Of tables, series and sounds, in training: noise in standard deviations of each feature."""
    speed: Annotated[float, Choice(0.0, 0.1, 0.2)] = 0.0
    """Sounds are played faster or slower by at most this share, in training."""

    def lasting(self, rows: int) -> "TrainSpec":
        """The same for so many training rows: with the epochs and patience that they get."""
        epochs = max(self.max_epochs, -(-self.min_steps // -(-rows // self.batch_size)))
        patience = -(-self.patience * epochs // self.max_epochs)  # rounded up, like the epochs
        return replace(self, max_epochs=epochs, patience=patience)


@dataclass(frozen=True, slots=True)
class TrialSpec:
    """One configuration: names, parameters, a seed."""

    task: Component
    encoders: Mapping[str, Component]
    fusion: Component
    head: Component
    objective: Component = Component("plain")
    train: TrainSpec = TrainSpec()
    seed: int = 0
    schema: int = SCHEMA

    def to_dict(self) -> dict[str, Any]:
        """All of it, but for settings younger than the first rows that are at their default.

        Written out, they would change every id.
        """
        document, default = as_document(self), TrainSpec()
        for name in YOUNGER:
            if document["train"][name] == getattr(default, name):
                del document["train"][name]
        return document

    def to_json(self) -> str:
        """The one canonical text of this spec: sorted keys, no spaces."""
        return canonical_json(self.to_dict())

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits. Of a *resolved* spec; ``resolve`` writes defaults out."""
        return digest(wherever(self.to_dict()))

    @property
    def family(self) -> str:
        """The id without the seed: what all fresh seeds of one configuration share."""
        return family_of(self.to_dict())

    def with_seed(self, seed: int) -> "TrialSpec":
        return replace(self, seed=seed)

    def at(self, task: Component) -> "TrialSpec":
        """The same with its data where those of ``task`` lie, which is the same task."""
        return replace(self, task=replace(self.task, places=task.places))

    def moved(self, places: Mapping[str, Value]) -> "TrialSpec":
        """The same with these of its places changed."""
        return replace(self, task=replace(self.task, places={**self.task.places, **places}))

    @property
    def fusion_label(self) -> str:
        """The fusion as a board names it: ``gated``, or ``only-image`` for a single modality."""
        modality = self.fusion.params.get("modality")
        return f"{self.fusion.name}-{modality}" if modality else self.fusion.name

    @property
    def encoders_label(self) -> str:
        return " + ".join(f"{m}:{c.name}" for m, c in sorted(self.encoders.items()))


def as_document(value: Any) -> dict[str, Any]:
    """A dataclass with components in it as JSON; those whose data lie nowhere do not say so."""
    later = ("places", "content")
    return asdict(value, dict_factory=lambda pairs: {k: v for k, v in pairs if v or k not in later})


def wherever(document: Mapping[str, Any], *aside: str) -> dict[str, Any]:
    """What names a task, without where its data lie: moved, they are still the same.

    ``aside``: keys that are left out, too.
    """
    task = document["task"]
    if isinstance(task, Mapping):  # else it is a name alone
        task = {key: value for key, value in task.items() if key != "places"}
    return {key: value for key, value in {**document, "task": task}.items() if key not in aside}


def family_of(spec: Mapping[str, Any]) -> str:
    """The family of a spec that is JSON."""
    return digest(wherever(spec, "seed"))


def canonical_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:12]


def spec_from_json(text: str) -> TrialSpec:
    """Read a spec; every mistake is named with its place."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidSpec(f"The spec is not JSON: {error}.") from None
    return spec_from_dict(data)


@lru_cache(maxsize=2**14)
def known_spec(text: str) -> TrialSpec:
    """``spec_from_json`` for those who read the same specs over and over, as a search does."""
    return spec_from_json(text)


def spec_from_dict(data: Any) -> TrialSpec:
    _check_keys(data, TrialSpec, "spec")
    if (schema := data.get("schema", SCHEMA)) != SCHEMA:
        raise InvalidSpec(f"The spec has schema {schema!r}; this mmbench reads schema {SCHEMA}.")
    if missing := [k for k in ("task", "encoders", "fusion", "head") if k not in data]:
        raise InvalidSpec(f"The spec lacks {', '.join(missing)}.")
    if not isinstance(data["encoders"], Mapping):
        raise InvalidSpec("spec.encoders maps each modality to a component.")
    if not isinstance(data.get("train", {}), Mapping):
        raise InvalidSpec(f"spec.train maps settings to values; got {data['train']!r}.")
    seed = data.get("seed", 0)
    if type(seed) is not int or seed < 0:
        raise InvalidSpec(f"spec.seed is a whole number from 0; got {seed!r}.")
    return TrialSpec(
        task=_component(data["task"], "task"),
        encoders={m: _component(c, f"encoders.{m}") for m, c in sorted(data["encoders"].items())},
        fusion=_component(data["fusion"], "fusion"),
        head=_component(data["head"], "head"),
        objective=_component(data.get("objective", "plain"), "objective"),
        train=train_spec(data.get("train", {})),
        seed=seed,
    )


def train_spec(given: Mapping[str, Value]) -> TrainSpec:
    """Training settings with the rest at their defaults, each checked.

    Without ``max_epochs`` they last ``LEAST_STEPS`` at least; who names epochs means so many.
    """
    if "max_epochs" not in given:
        given = {"min_steps": LEAST_STEPS, **given}
    train = TrainSpec(**validate(TrainSpec, given, "train"))  # type: ignore[arg-type]
    for name, least in (("max_epochs", 1), ("patience", 1), ("batch_size", 1), ("min_steps", 0)):
        if getattr(train, name) < least:
            raise InvalidParameter(
                f"train.{name} is at least {least}; got {getattr(train, name)!r}."
            )
    if train.precision not in (FLOAT32, BFLOAT16):
        raise InvalidParameter(
            f"train.precision is {FLOAT32} or {BFLOAT16}; got {train.precision!r}."
        )
    return train


def _component(data: Any, where: str) -> Component:
    if isinstance(data, str):
        return Component(data)
    _check_keys(data, Component, f"spec.{where}")
    name, params, places = data.get("name"), data.get("params", {}), data.get("places", {})
    content = data.get("content", "")
    mappings = isinstance(params, Mapping) and isinstance(places, Mapping)
    if not (mappings and isinstance(name, str) and isinstance(content, str)):
        raise InvalidSpec(
            f'spec.{where} looks like {{"name": "…", "params": {{…}}}}; got {data!r}.'
        )
    return Component(name, dict(params), dict(places), content)


def _check_keys(data: Any, cls: type, where: str) -> None:
    if not isinstance(data, Mapping):
        raise InvalidSpec(f"{where} is a JSON object; got {data!r}.")
    known = [f.name for f in fields(cls)]
    for key in data:
        if key not in known:
            raise InvalidSpec(
                f"{where} has no field {key!r}.{did_you_mean(key, known)} "
                f"It has: {', '.join(known)}."
            )
