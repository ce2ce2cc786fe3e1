"""One configuration as options describe it, or a file."""

from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.cli.options import settings, task_settings
from mmbench.errors import InvalidSpec

if TYPE_CHECKING:
    from mmbench.plugins import Plugins
    from mmbench.spec import Component, TrialSpec


def spec_in(path: Path) -> "TrialSpec":
    from mmbench.spec import spec_from_json

    try:
        return spec_from_json(path.read_text())
    except OSError as error:
        raise InvalidSpec(f"The spec {path} cannot be read: {error.strerror}.") from None


def spec_of(
    task: "Component",
    fusion: str | None,
    encoders: list[str],
    head: str | None,
    objective: str | None,
    given: list[str],
    plugins: "Plugins",
) -> "TrialSpec":
    """The spec that the options describe; what is not given is at its default."""
    from mmbench.resolve import resolve_dataset
    from mmbench.search.candidates import find_candidates
    from mmbench.search.propose import default_spec, plainest
    from mmbench.search.request import SearchRequest
    from mmbench.spec import Component, TrialSpec

    task, dataset = resolve_dataset(task.but(task_settings(given)), plugins)
    objective = objective or plainest(dataset.task, plugins)
    required = plugins.objectives[objective].requires
    fusion = fusion or required.get("fusion", [""])[0]
    head = head or required.get("head", ["mlp"])[0]
    sections = ["task", "train", "fusion", "head", "objective"]
    sections += [f"encoder.{m}" for m in dataset.task.modalities]
    params = settings(given, sections)
    candidates = find_candidates(
        dataset.task, plugins, "cuda", encoders=encoders, heads=[head], objectives=[objective]
    )
    request = SearchRequest(task, candidates, "cpu", train=params.get("train", {}))
    spec = default_spec(request, plugins, _fusion(fusion) if fusion else None)
    return TrialSpec(
        task=request.task,
        encoders={
            m: Component(c.name, params.get(f"encoder.{m}", {})) for m, c in spec.encoders.items()
        },
        fusion=Component(spec.fusion.name, {**spec.fusion.params, **params.get("fusion", {})}),
        head=Component(head, params.get("head", {})),
        objective=Component(objective, params.get("objective", {})),
        train=spec.train,
    )


def _fusion(label: str) -> "Component":
    """A fusion by its name on a board."""
    from mmbench.spec import Component

    name, dash, modality = label.partition("-")
    if name == "only" and dash:
        return Component("only", {"modality": modality})
    return Component(label)
