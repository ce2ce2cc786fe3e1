"""Which combinations are legal, known before anything is sampled."""

from collections.abc import Iterable, Mapping, Sequence

from mmbench.augmentation import offered
from mmbench.contracts import Encoder, Fusion
from mmbench.errors import Incompatible, InvalidParameter, UnknownName, did_you_mean
from mmbench.plugins import Plugins
from mmbench.resolve import head_misfit, misfit
from mmbench.search.fitting import fitting, named
from mmbench.search.paradigms import legal_objectives, required, wanted_by_any
from mmbench.search.request import Candidates
from mmbench.types import ALL_TARGETS, Task

DEFAULT_FUSION = "concat"


def find_candidates(
    task: Task,
    plugins: Plugins,
    device: str,
    *,
    encoders: Sequence[str] = (),
    fusions: Sequence[str] = (),
    heads: Sequence[str] = (),
    objectives: Sequence[str] = (),
) -> Candidates:
    """What fits the task, narrowed to the names given; every misfit is dropped with its reason.

    An encoder is given as ``name`` or ``modality=name``; the fusion or objective ``all`` is every
    one there is.
    """
    if list(objectives) == ["all"]:
        objectives = sorted(plugins.objectives)
    dropped: dict[str, str] = {}
    by_modality = {
        m: _encoders_for(m, task, plugins, device, _wanted(encoders, task, m, plugins), dropped)
        for m in task.modalities
    }
    legal_fusions = _fusions(task, plugins, device, by_modality, list(fusions), dropped)
    legal_heads = _heads(task, plugins, heads, dropped)
    if not fusions:
        legal_fusions += required("fusion", objectives, plugins, legal_fusions)
    if not heads:
        legal_heads += required("head", objectives, plugins, legal_heads)
    trained = [n for names in by_modality.values() for n in names if not plugins.encoders[n].frozen]
    legal = legal_objectives(
        task, plugins, objectives, legal_fusions, legal_heads, dropped, trains=bool(trained)
    )
    chosen = Candidates(
        encoders=by_modality,
        fusions=wanted_by_any("fusion", legal_fusions, legal, plugins, dropped),
        heads=wanted_by_any("head", legal_heads, legal, plugins, dropped),
        objectives=legal,
        dropped=dropped,
        augmentations=list(offered(task)),
    )
    _refuse_nothing(chosen, plugins)
    return chosen


def _refuse_nothing(chosen: Candidates, plugins: Plugins) -> None:
    for kind in ("objective", "fusion", "head"):
        if not getattr(chosen, f"{kind}s"):
            known = getattr(plugins, f"{kind}s")
            reasons = [reason for name, reason in chosen.dropped.items() if name in known]
            told = "; ".join(reasons) or "none is installed"
            raise Incompatible(f"No {kind} is left to search: {told}.")


def _wanted(given: Sequence[str], task: Task, modality: str, plugins: Plugins) -> list[str]:
    """The encoder names asked for one modality; empty if it was not mentioned."""
    wanted = []
    for item in given:
        target, _, name = item.rpartition("=")
        if target and target not in task.modalities:
            raise UnknownName(
                f"--encoder {item}: the task has no modality {target!r}."
                f"{did_you_mean(target, task.modalities)} It has: {', '.join(task.modalities)}."
            )
        cls = plugins.encoders[name]
        if target == modality and cls.accepts != task.modalities[modality]:
            raise Incompatible(
                f"--encoder {item}: {name} reads {cls.accepts}; {modality} is "
                f"{task.modalities[modality]}."
            )
        if not target and cls.accepts not in task.modalities.values():
            raise Incompatible(f"--encoder {item}: no modality of the task is {cls.accepts}.")
        if target in ("", modality) and cls.accepts == task.modalities[modality]:
            wanted.append(name)
    return wanted


def _encoders_for(
    modality: str,
    task: Task,
    plugins: Plugins,
    device: str,
    wanted: list[str],
    dropped: dict[str, str],
) -> list[str]:
    kind = task.modalities[modality]
    fitting = {}
    for name, cls in plugins.encoders.items():
        if cls.accepts == kind and cls.needs_target and task.target not in ALL_TARGETS:
            dropped[name] = f"{name} is fitted to numbers or classes; the task is {task.target}"
        elif cls.accepts == kind:
            fitting[name] = cls
    names = wanted or _offered(fitting, device, dropped)
    if not names:
        raise Incompatible(
            f"No encoder reads {kind}, the kind of {modality}. Install a plugin that has one: "
            f"`mmbench list encoders` shows what is there."
        )
    return names


def _offered(
    classes: Mapping[str, type[Encoder] | type[Fusion]], device: str, dropped: dict[str, str]
) -> list[str]:
    """The names a search tries unasked on this device."""
    names = []
    for name, cls in sorted(classes.items()):
        if cls.offered == "always" or (cls.offered == "gpu" and device == "cuda"):
            names.append(name)
        elif cls.offered == "gpu":
            dropped[name] = f"{name} is slow to train on a CPU; name it to try it all the same"
    return names


def _fusions(
    task: Task,
    plugins: Plugins,
    device: str,
    encoders: Mapping[str, Sequence[str]],
    wanted: list[str],
    dropped: dict[str, str],
) -> list[str]:
    if wanted == ["all"]:
        wanted = [n for n, cls in sorted(plugins.fusions.items()) if cls.offered != "baseline"]
    offered = _offered(plugins.fusions, device, {} if wanted else dropped)
    for name in wanted:
        _refuse_baseline(name, plugins, offered)
    names = named(plugins.fusions, wanted) if wanted else offered

    def why_not(name: str) -> str | None:
        cls = plugins.fusions[name]
        reason = misfit(cls, task.modalities, target=task.target) or _cannot_read(cls, task)
        reason = reason or (None if wanted else _nothing_to_fuse(name, task))
        return reason or _no_sequences(cls, encoders, plugins)

    return fitting(names, why_not, dropped)


def _heads(
    task: Task, plugins: Plugins, wanted: Sequence[str], dropped: dict[str, str]
) -> list[str]:
    names = named(plugins.heads, wanted)
    return fitting(names, lambda name: head_misfit(plugins.heads[name], task), dropped)


def _refuse_baseline(name: str, plugins: Plugins, offered: Sequence[str]) -> None:
    """``majority`` and ``only-<modality>`` are no candidates: a search has them anyway."""
    known = plugins.fusions
    if (base := name.partition("-")[0]) in known and known[base].offered == "baseline":
        raise InvalidParameter(
            f"{name} is a baseline: every search includes it without being asked. "
            f"Fusions: {', '.join(offered)}."
        )


def _nothing_to_fuse(name: str, task: Task) -> str | None:
    """With one modality one fusion is enough: the one that passes it on as it is."""
    if len(task.modalities) > 1 or name == DEFAULT_FUSION:
        return None
    return f"{name} has nothing to fuse: there is one modality ({', '.join(task.modalities)})"


def _cannot_read(fusion: type[Fusion], task: Task) -> str | None:
    """What is wrong with what a fusion says it reads: it must not end the search."""
    try:
        read = list(fusion.reads(list(task.modalities)))
    except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything
        return f"{fusion.name} raises when asked what it reads: {type(error).__name__}: {error}"
    if strange := [m for m in read if m not in task.modalities]:
        there = ", ".join(task.modalities)
        return f"{fusion.name} reads {', '.join(map(repr, strange))}; the task has {there}"
    return None


def _no_sequences(
    fusion: type[Fusion], encoders: Mapping[str, Sequence[str]], plugins: Plugins
) -> str | None:
    if not fusion.capabilities.needs_sequences:
        return None
    for modality, names in encoders.items():
        if not sequence_encoders(names, plugins):
            return (
                f"{fusion.name} attends over tokens; no candidate encoder emits a sequence for "
                f"{modality}"
            )
    return None


def sequence_encoders(names: Iterable[str], plugins: Plugins) -> list[str]:
    return [n for n in names if plugins.encoders[n].emits_sequences]
