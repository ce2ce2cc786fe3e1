"""What a reader should know before trusting a cost document, as far as its own figures say so."""

from collections.abc import Mapping
from typing import Any

SLACK_CORES = 0.2
"""Others' share of a core that goes unnoticed: every system has something to do."""
CACHING_BELOW = 0.7


def flags_of(cost: Mapping[str, Any]) -> list[str]:
    """Those that follow from figures; that a quota ran out, say, is seen only while measuring.

    ``contended``: see ``contended``. ``caches``: a request asked again was faster. ``unstable``:
    timings did not settle. Flags of the hardware are its own.
    """
    latency, machine = cost["latency"], cost["hardware"]
    batches = [timed for name, timed in latency.items() if name.startswith("batch_")]
    raised = {
        "contended": contended(cost["others_cores"], machine["cores"], cost["threads"]),
        "caches": (latency["repeat_ratio"] or 1.0) < CACHING_BELOW,
        "unstable": not all(batch["warm_up_stable"] for batch in batches),
    }
    return [*machine["flags"], *(flag for flag, is_raised in raised.items() if is_raised)]


def contended(others_cores: float, cores: int, threads: int) -> bool:
    """Whether others left fewer cores idle than there are threads."""
    return others_cores > max(cores - threads, 0) + SLACK_CORES
