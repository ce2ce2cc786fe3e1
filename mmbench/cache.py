"""Where mmbench keeps what it can make again: features, decoded data, the plugin catalogue."""

import os
import shutil
from pathlib import Path

from platformdirs import user_cache_path

from mmbench.errors import InvalidParameter

LIMIT = "MMBENCH_CACHE_GIB"
GIB = 2**30


def cache_root() -> Path:
    """``MMBENCH_CACHE``, or the user's cache folder."""
    return Path(os.environ.get("MMBENCH_CACHE") or user_cache_path("mmbench"))


def features_root() -> Path:
    """Where the features of frozen encoders are."""
    return cache_root() / "features"


def cache_limit(root: Path, held: int) -> int:
    """The most bytes of features to keep: ``MMBENCH_CACHE_GIB``, or half of what the disk offers.

    ``held``: the bytes kept now, which would be free without them.
    """
    if not (given := os.environ.get(LIMIT)):
        return (shutil.disk_usage(root).free + held) // 2
    try:
        gib = float(given)
    except ValueError:
        gib = -1
    if not 0 <= gib < float("inf"):
        raise InvalidParameter(f"{LIMIT} is a number of GiB, such as 20; got {given!r}.")
    return int(gib * GIB)
