"""Arrays that were decoded or generated, kept in the cache and checked whenever they are read."""

import hashlib
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmbench.cache import cache_root

Array = NDArray[Any]
log = logging.getLogger(__name__)


def stored(
    name: str, sha256: str, make: Callable[[], Array], unlike: Callable[[], Exception]
) -> Array:
    """The array that hashes to ``sha256``: from the cache, else made and cached.

    ``name`` is its path within the cache, such as ``"easy-vqa-1.0/train.npy"``. Raises ``unlike()``
    if what is made is not what was pinned.
    """
    path = cache_root() / "data" / name
    if path.exists():
        cached = _read(path)
        if cached is not None and digest(cached) == sha256:
            return cached
        log.warning("The cached data %s are damaged; making them again.", path)
    array = make()
    if digest(array) != sha256:
        raise unlike()
    try:
        _write(path, array)
    except OSError as error:
        log.warning("Cannot cache data (%s); they are made again at every start.", error)
    return array


def digest(array: Array) -> str:
    """SHA-256 of an array's bytes, in C order."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def _read(path: Path) -> Array | None:
    try:
        cached: Array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return cached if isinstance(cached, np.ndarray) else None


def _write(path: Path, array: Array) -> None:
    """Written under another name and then renamed: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        try:
            np.save(file, array)
        except BaseException:
            Path(file.name).unlink()
            raise
    Path(file.name).replace(path)
