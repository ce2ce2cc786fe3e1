"""Whether a plugin is found once it is installed. Authors call this in one test."""

from typing import Any

from mmbench.plugins import load_plugins


def check_installed(distribution: str, *components: type) -> None:
    """Raise AssertionError unless all plugins of ``distribution`` load and bring ``components``."""
    plugins = load_plugins()
    records = [record for record in plugins.records if record.distribution == distribution]
    assert records, (
        f"No installed distribution {distribution!r} has an entry point in the group 'mmbench'. "
        f'Write [project.entry-points.mmbench] into its pyproject.toml, and "uv pip install" it.'
    )
    for record in records:
        assert record.usable, str(record)
    for component in components:
        owners = {r.owner(component.name) for r in plugins.registries if _has(r, component)}  # type: ignore[attr-defined]
        assert owners == {distribution}, (
            f"{component.__qualname__} is not among what {distribution} registers. Return it from "
            f"the hook of its kind, such as register_fusions()."
        )


def _has(registry: Any, component: type) -> bool:
    name = getattr(component, "name", None)
    return name in registry and registry[name] is component
