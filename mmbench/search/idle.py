"""Paradigms that find nothing to act on in a configuration, and so train what plain trains."""

from collections.abc import Iterable

from mmbench.plugins import Plugins
from mmbench.resolve import trains
from mmbench.search.paradigms import acts
from mmbench.spec import Component


def idle(objective: str, fusion: str, encoders: Iterable[Component], plugins: Plugins) -> bool:
    """Whether the paradigm does nothing of its own with these encoders, as they are set."""
    training = any(trains(plugins.encoders[c.name], c) for c in encoders)
    cls = plugins.objectives[objective]
    return not acts(cls, plugins.fusions[fusion], encoders_train=training)


def idle_note(idlers: Iterable[str]) -> str:
    """What a reader should know of them."""
    return (
        f"{', '.join(idlers)}: all encoders are frozen, so that this trains exactly what the plain "
        "paradigm does, under another name: choose encoders that train."
    )
