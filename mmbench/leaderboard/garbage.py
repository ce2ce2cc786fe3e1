"""No search for garbage while thousands of rows are read or shown.

Python looks for cycles after so many new objects, each time among all that live: with ten thousand
rows that takes three times as long as reading them, and JSON has no cycles.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def garbage_kept() -> Iterator[None]:
    """Inside, or in a function that this decorates, garbage stays where it is."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
