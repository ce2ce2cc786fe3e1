"""What was asked of a search, as data: stored in the study, read by every worker."""

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmbench.errors import InvalidSpec, UnknownName
from mmbench.plugins import Plugins
from mmbench.provenance import versions_in
from mmbench.resolve import resolve_dataset
from mmbench.space import Value, params_of
from mmbench.spec import SCHEMA, Component, TrainSpec, as_document, digest, wherever

ASIDE = ("candidates", "earlier")
"""Of a request, what is no part of the question."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The names a search may combine. Fixed for a study: Optuna's categories cannot change."""

    encoders: Mapping[str, Sequence[str]]
    fusions: Sequence[str]
    heads: Sequence[str]
    objectives: Sequence[str]
    dropped: Mapping[str, str] = field(default_factory=dict)
    """What was left out, and why."""
    augmentations: Sequence[str] = ()
    """The settings of training that change what the task has at random; searched, as they are off
    by default."""


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A search without its budget: the same request continues the same study."""

    task: Component
    candidates: Candidates
    device: str
    seed: int = 0
    pareto: bool = False
    max_latency_ms: float | None = None
    max_memory_mib: float | None = None
    train: Mapping[str, Value] = field(default_factory=dict)
    """Training settings that are set, not searched."""
    max_parameters: int | None = None
    warm_start: bool = False
    """Try what was best in earlier searches."""
    earlier: Sequence[Mapping[str, Any]] = ()
    """What that is: see ``mmbench.search.warm_start``. No part of what makes two searches equal."""

    @property
    def limits(self) -> dict[str, float]:
        """By the name of a cost, the most that a configuration may take of it."""
        limits = {
            "latency_ms": self.max_latency_ms,
            "memory_mib": self.max_memory_mib,
            "parameters": self.max_parameters,
        }
        return {name: limit for name, limit in limits.items() if limit is not None}

    def to_dict(self) -> dict[str, Any]:
        return as_document(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "SearchRequest":
        return cls(
            **{
                **data,
                "task": Component(**data["task"]),
                "candidates": Candidates(**data["candidates"]),
            }
        )


def study_name(request: SearchRequest, version: str, plugins: Plugins) -> str:
    """``<task>-<hash>`` of everything that makes two searches comparable.

    A new version of mmbench or of the task, another space, or another version or content of a
    plugin that takes part is another study.
    """
    chosen = request.candidates
    spaces = {
        registry.kind: {n: [str(p) for p in params_of(registry[n])] for n in sorted(names)}
        for registry, names in (
            (plugins.encoders, {n for names in chosen.encoders.values() for n in names}),
            (plugins.fusions, chosen.fusions),
            (plugins.heads, chosen.heads),
            (plugins.objectives, chosen.objectives),
        )
    }
    owners = versions_in(plugins, components_of_search(request, plugins))
    train = [str(p) for p in params_of(TrainSpec)]
    train += chosen.augmentations
    asked = [SCHEMA, _mmbench(), _asked(request), version]
    content = [*asked, spaces, chosen.encoders, train, owners]
    return f"{request.task.name}-{digest(content)}"


def check_made_here(name: str, request: SearchRequest, plugins: Plugins) -> None:
    """Raise ``InvalidSpec`` unless the study ``name`` is what a search started here would make.

    Else its budget would be spent on trials that fail, or that no other of the study compares with.
    """
    try:
        _, dataset = resolve_dataset(request.task, plugins)
        same = study_name(request, dataset.version, plugins) == name
    except UnknownName as error:
        raise InvalidSpec(
            f"{name} cannot be worked on here. {error} Install what it was made with, or name its "
            f"file with --plugin FILE."
        ) from None
    if not same:
        used = versions_in(plugins, components_of_search(request, plugins))
        here = [f"mmbench {_mmbench()}", *(f"{name} {used[name][0]}" for name in used)]
        raise InvalidSpec(
            f"{name} was made with other versions of mmbench, its task or its plugins than are "
            f"installed here: {', '.join(here)}. Install those that it was made with, or start a "
            f"search of its own with `mmbench search`."
        )


def question(request: SearchRequest, plugins: Plugins) -> str:
    """A hash of what is asked, whatever the candidates: trials of equal questions compare."""
    _, dataset = resolve_dataset(request.task, plugins)
    return digest([SCHEMA, _mmbench(), _asked(request), dataset.version])


def asks_the_same(kept: Mapping[str, Any], request: SearchRequest) -> bool:
    """Whether a study's request, as JSON of any version, is this but for its candidates."""
    return digest(wherever(kept, *ASIDE)) == digest(_asked(request))


def _mmbench() -> str:
    return importlib.metadata.version("mmbench")


def _asked(request: SearchRequest) -> dict[str, Any]:
    return wherever(request.to_dict(), *ASIDE)


def components_of_search(request: SearchRequest, plugins: Plugins) -> list[tuple[str, str]]:
    """Kind and name of each component that a search may use."""
    _, dataset = resolve_dataset(request.task, plugins)
    chosen = request.candidates
    return [
        ("dataset", request.task.registered),
        ("metric", dataset.task.metric),
        *(("encoder", name) for names in chosen.encoders.values() for name in names),
        *(("fusion", name) for name in chosen.fusions),
        *(("head", name) for name in chosen.heads),
        *(("objective", name) for name in chosen.objectives),
    ]
