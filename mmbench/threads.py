"""How many CPU threads a process uses: one, unless it is told otherwise.

A step, a bootstrap, a metric are small: threads that wait for each other cost more than they bring.
On two cores that were busy, a second thread made ``mmbench verify`` take nine times the CPU time.
"""

import os

LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Read by the numeric libraries when they are imported."""


def limits(threads: int) -> dict[str, str]:
    """The environment of a process with so many threads."""
    return dict.fromkeys(LIMITS, str(threads))


def one_unless_told() -> None:
    """Of this process; before any numeric library is imported. What the user has set stays."""
    if not any(os.environ.get(name) for name in LIMITS):
        os.environ.update(limits(1))
