"""Memory that a step frees is what the next step takes.

glibc gives large blocks back to the system at once, and each comes anew, page by page: a fifth of
the time of a step of 16 members.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt(3)
KEPT = 32 * 2**20  # bytes; the most that glibc allows


@contextmanager
def kept_memory() -> Iterator[None]:
    """From here on, freed blocks of up to 32 MiB stay with the process (glibc only; else nothing).

    At the end what is free is given back. The thresholds stay: glibc's own grow with what a process
    frees, and once set by hand they never do again, which made what came after slower.
    """
    libc = ctypes.CDLL(None)
    mallopt, trim = getattr(libc, "mallopt", None), getattr(libc, "malloc_trim", None)
    if mallopt is None or trim is None:
        yield
        return
    mallopt(MMAP_THRESHOLD, KEPT)
    mallopt(TRIM_THRESHOLD, 64 * KEPT)
    try:
        yield
    finally:
        trim(0)
