"""Names asked for, and those of them that nothing speaks against."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from mmbench.contracts import Fusion, Head, Objective


def named(
    registry: Mapping[str, type[Fusion] | type[Head] | type[Objective]], wanted: Sequence[str]
) -> list[str]:
    """``wanted`` in the order given, each looked up; all that are offered if none is wanted."""
    for name in wanted:
        registry[name]
    offered = sorted(name for name, cls in registry.items() if cls.offered == "always")
    return list(dict.fromkeys(wanted)) or offered


def fitting(
    names: Iterable[str], why_not: Callable[[str], str | None], dropped: dict[str, str]
) -> list[str]:
    """Those that nothing speaks against; the others are dropped with what does."""
    reasons = {name: why_not(name) for name in names}
    dropped |= {name: reason for name, reason in reasons.items() if reason is not None}
    return [name for name, reason in reasons.items() if reason is None]
