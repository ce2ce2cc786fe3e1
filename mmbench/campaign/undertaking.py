"""What the last steps need to know of a job, whether it searches or compares."""

from collections.abc import Sequence
from typing import Protocol

from mmbench.campaign.listener import Listener
from mmbench.campaign.places import Crew
from mmbench.plugins import Plugins
from mmbench.search.pool import Pool
from mmbench.spec import Component
from mmbench.tracking import Tracker


class Undertaking(Protocol):
    """A job with workers, a place for its models, and someone who watches."""

    crew: Crew
    diagnose: bool
    """Whether the models of final evaluations are examined, robustness and the like."""
    plugins: Plugins
    listener: Listener
    tracker: Tracker

    @property
    def task(self) -> Component: ...

    @property
    def device(self) -> str: ...

    def pool(self, arguments: Sequence[str], phase: str) -> Pool: ...
