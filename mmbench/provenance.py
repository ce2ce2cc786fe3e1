"""Which plugins made a result, and whether they are here as they were then.

A plugin is recorded with its distribution, version and a hash of its files, so that an edited one
is told from the one that was published. Nothing is ever imported because a record names it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from mmbench.errors import InvalidSpec, PluginDiffers
from mmbench.installed.contents import content_sha256
from mmbench.installed.offers import FILE_VERSION
from mmbench.plugins import BUILTIN, Plugins
from mmbench.resolve import Resolved
from mmbench.spec import TrialSpec

SHAPE = {
    "distribution": r"[A-Za-z0-9_][\w.-]*",
    "version": r"[\w.+!-]*",
    "sha256": r"[0-9a-f]{64}|",
    "components": r"\w+ [\w.-]+",
}


class Used(TypedDict):
    """A plugin that took part, as JSON."""

    distribution: str
    version: str
    """``file`` for a file that the user named."""
    sha256: str
    components: list[str]
    """What is its own, such as ``fusion matching``."""


def used_by(resolved: Resolved, plugins: Plugins) -> list[Used]:
    """The plugins of a trial; none if all its components are built in."""
    return used_in(plugins, [("metric", resolved.task.metric), *components_of(resolved.spec)])


def components_of(spec: TrialSpec) -> list[tuple[str, str]]:
    """Kind and name of each component that a specification names."""
    return [
        ("dataset", spec.task.registered),
        *(("encoder", encoder.name) for encoder in spec.encoders.values()),
        ("fusion", spec.fusion.name),
        ("head", spec.head.name),
        ("objective", spec.objective.name),
    ]


def used_in(plugins: Plugins, components: Iterable[tuple[str, str]]) -> list[Used]:
    """The plugins that these components, as (kind, name), are from."""
    registries = {registry.kind: registry for registry in plugins.registries}
    owned: dict[str, set[str]] = {}
    for kind, name in components:
        if (owner := registries[kind].owner(name)) != BUILTIN:
            owned.setdefault(owner, set()).add(f"{kind} {name}")
    return [
        {**identity(owner, plugins), "components": sorted(owned[owner])}  # type: ignore[typeddict-item]
        for owner in sorted(owned)
    ]


def versions_in(plugins: Plugins, components: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """By distribution, version and hash: equal only if all that takes part is the same code."""
    return {u["distribution"]: [u["version"], u["sha256"]] for u in used_in(plugins, components)}


def identity(distribution: str, plugins: Plugins) -> dict[str, str]:
    """What it is: version and hash of its files, empty if nothing is known of it."""
    own = [offer for offer in plugins.offers if offer.distribution == distribution]
    return {
        "distribution": distribution,
        "version": own[0].version if own else "",
        "sha256": content_sha256(own) if own else "",
    }


def read_used(data: Any, where: str) -> list[Used]:
    """What a row or a saved model says of its plugins; ``where`` names it in an error.

    Names and versions end in a command that the user may copy, so they hold nothing but what names
    and versions consist of.
    """
    if not isinstance(data, list):
        raise InvalidSpec(f"{where} lists plugins; got {data!r}.")
    for item in data:
        if not isinstance(item, Mapping) or not SHAPE.keys() <= item.keys():
            raise InvalidSpec(f"{where}: a plugin has {', '.join(SHAPE)}; got {item!r}.")
        for key, pattern in SHAPE.items():
            value = item[key]
            texts = value if key == "components" and isinstance(value, list) else [value]
            if not all(isinstance(t, str) and re.fullmatch(pattern, t) for t in texts):
                raise InvalidSpec(f"{where}: {key} of a plugin is not {value!r}.")
    return data


@dataclass(frozen=True, slots=True)
class Departure:
    """A plugin that is not as it was when a result was made."""

    missing: bool
    text: str
    mend: str

    def __str__(self) -> str:
        return f"{self.text}: {self.mend}"


def departures(recorded: Sequence[Mapping[str, Any]], plugins: Plugins) -> list[Departure]:
    """How the plugins that made a result differ from those that are here."""
    return [found for used in recorded if (found := _departure(used, plugins))]


def _departure(used: Mapping[str, Any], plugins: Plugins) -> Departure | None:
    distribution, version = str(used["distribution"]), str(used["version"])
    brings = ", ".join(used.get("components", ())) or "a component"
    is_file = version == FILE_VERSION
    if not any(offer.distribution == distribution for offer in plugins.offers):
        return Departure(True, f"{brings} is from {label(used)}, which is not here", _get(used))  # noqa: FBT003
    here = identity(distribution, plugins)
    if here["version"] != version:
        text = f"{brings} was from {label(used)}; {here['version']} is installed"
        return Departure(False, text, _get(used))  # noqa: FBT003
    if used.get("sha256") and here["sha256"] != used["sha256"]:
        text = (
            f"{label(used)}, which {brings} is from, has other content now: its hash is "
            f"{here['sha256'][:12]}"
        )
        mend = (
            "name the file as it was" if is_file else f"it was edited, or built anew; {_get(used)}"
        )
        return Departure(False, text, mend)  # noqa: FBT003
    return None


def label(used: Mapping[str, Any]) -> str:
    """``mmbench-matching 0.1.0 (sha256 0123456789ab)``, or the file with its hash."""
    distribution, version = used["distribution"], used["version"]
    name = f"the file {distribution}" if version == FILE_VERSION else f"{distribution} {version}"
    return f"{name} (sha256 {used['sha256'][:12]})" if used.get("sha256") else name


def _get(used: Mapping[str, Any]) -> str:
    if used["version"] == FILE_VERSION:
        return f"name that file with --plugin {used['distribution']}"
    return f"if you trust it, `uv pip install {used['distribution']}=={used['version']}`"


def require(
    recorded: Sequence[Mapping[str, Any]], plugins: Plugins, what: str, *, anyway: bool = False
) -> list[str]:
    """Raise ``PluginDiffers`` unless the plugins that made ``what`` are here as they were.

    ``anyway``: only one that is missing is refused; the other differences are returned.
    """
    found = departures(recorded, plugins)
    refused = [d for d in found if d.missing or not anyway]
    if refused:
        hint = "" if any(d.missing for d in refused) else " Or take them as they are: --anyway."
        raise PluginDiffers(f"{what}: {'; '.join(map(str, refused))}.{hint}")
    return [d.text for d in found]
