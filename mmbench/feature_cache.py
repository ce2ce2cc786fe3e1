"""Which features there are, by the content that made them; no more than a limit of bytes.

A folder ``ab/abcd…`` is one entry, named by the hash of its key. All that is done to an entry is
done under its lock ``ab/abcd….lock``, so that of many processes one computes and the others read.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mmbench.cache import GIB, LIMIT, cache_limit
from mmbench.errors import DataUnavailable, StorageError
from mmbench.feature_files import (
    ABOUT,
    Damaged,
    check_content,
    read_about,
    read_features,
    state_of_files,
    write_features,
)
from mmbench.spec import canonical_json
from mmbench.types import Encoded

SCHEMA = 2
WAIT_SECONDS = 1.0
"""For another process that computes the same, between two looks at whether to go on."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in the cache: features, or what a stopped process or an older version left."""

    path: Path
    key: Mapping[str, Any] | None
    """What the features are of; None for leftovers."""
    nbytes: int
    used: float
    """When it was last asked for, as Unix time; 0 for leftovers."""

    @property
    def id(self) -> str:
        return self.path.name.partition(".")[0]

    @property
    def lock(self) -> Path:
        return self.path.with_name(f"{self.id}.lock")


@dataclass(frozen=True, slots=True)
class FeatureCache:
    """Encoded columns by the content that made them, the least recently used dropped first."""

    root: Path
    limit: int | None = None
    """Bytes; None: ``MMBENCH_CACHE_GIB``, or half of the disk that is free."""
    checked: set[tuple[object, ...]] = field(default_factory=set)
    """States of files whose every byte this process has checked: the next trial need not."""

    def path(self, key: Mapping[str, object]) -> Path:
        digest = digest_of(key)
        return self.root / digest[:2] / digest

    def get_or_compute(
        self,
        key: Mapping[str, object],
        n_values: int,
        encode: Callable[[int], Iterator[Encoded]],
        waiting: Callable[[], None] = lambda: None,
    ) -> Encoded:
        """The features of ``key`` as memory maps; of all processes that ask at once, one computes.

        ``encode`` gives the features of the values from a given one to the last of ``n_values``,
        in order, batch by batch. ``waiting`` is called each second that another process computes
        them, which can take minutes; it may raise to leave.
        """
        path = self.path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _taken(FileLock(path.with_name(f"{path.name}.lock")), waiting):
                features = self._read(path)
                if features is None:
                    self._write(path, key, n_values, encode)
                    features = read_features(path)
        except OSError as error:
            raise StorageError(
                f"The feature cache {self.root} cannot be used: {error}. "
                f"Free some space, or set MMBENCH_CACHE to a folder that can be written."
            ) from error
        return features

    def _read(self, path: Path) -> Encoded | None:
        if not path.exists():
            return None
        try:
            key_of(path)
            features = read_features(path)
            state = state_of_files(path)
            if state not in self.checked:
                check_content(path)
                self.checked.add(state)
        except Damaged as error:
            log.warning("cached features %s are corrupt (%s): rebuilding them", path, error)
            _delete(path)
            return None
        os.utime(path / ABOUT)  # used now
        return features

    def _write(
        self,
        path: Path,
        key: Mapping[str, object],
        n_values: int,
        encode: Callable[[int], Iterator[Encoded]],
    ) -> None:
        """Write beside the target, then rename: readers never see half an entry.

        Of a fault nothing is left; who is asked to stop, which is no ``Exception``, leaves what is
        done to the next.
        """
        beside = path.with_name(f"{path.name}.part")
        guarded = partial(_unlike_the_cache, encode)
        try:
            write_features(beside, key, guarded, n_values, self.make_room)
        except Exception:
            shutil.rmtree(beside, ignore_errors=True)
            raise
        beside.rename(path)
        self.checked.add(state_of_files(path))
        self.make_room(0)  # others may have written at the same time

    def make_room(self, nbytes: int) -> None:
        """Drop what was used least recently until ``nbytes`` more are within the limit.

        What another process is reading or writing just now is left; what one has mapped stays
        there for it until it lets go.
        """
        with FileLock(self.root / "evict.lock"):
            entries = self.entries()
            held = sum(e.nbytes for e in entries)
            limit = cache_limit(self.root, held) if self.limit is None else self.limit
            if nbytes > limit:
                raise StorageError(
                    f"The features of one frozen encoder take {nbytes / GIB:.3g} GiB; the cache "
                    f"{self.root} may hold {limit / GIB:.3g} GiB. Set {LIMIT} to more, or "
                    "MMBENCH_CACHE to a folder on a larger disk."
                )
            for entry in sorted(entries, key=lambda e: e.used):
                if held + nbytes <= limit:
                    return
                if remove(entry):
                    log.info("dropped features %s to make room", entry.path)
                    held -= entry.nbytes

    def entries(self) -> list[Entry]:
        """All there is, the most recently used first."""
        found = [entry_at(p) for p in self.root.glob("??/*") if p.suffix != ".lock"]
        return sorted((e for e in found if e is not None), key=lambda e: -e.used)


def _taken(lock: FileLock, waiting: Callable[[], None]) -> AbstractContextManager[object]:
    while True:
        with suppress(Timeout):
            return lock.acquire(timeout=WAIT_SECONDS)
        waiting()


def digest_of(key: Mapping[str, object]) -> str:
    """The name of the entry for a key."""
    return hashlib.sha256(canonical_json({"schema": SCHEMA, **key}).encode()).hexdigest()


def key_of(path: Path) -> Mapping[str, Any]:
    """What the features of an entry are of; ``Damaged`` unless that is what it is named by."""
    key: Mapping[str, Any] = read_about(path)["key"]
    if digest_of(key) != path.name:
        raise Damaged(f"{ABOUT} describes other features")
    return key


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _unlike_the_cache(encode: Callable[[int], Iterator[Encoded]], first: int) -> Iterator[Encoded]:
    """The same; a fault of the files that are encoded is told from one of the cache's own."""
    try:
        yield from encode(first)
    except OSError as error:
        raise DataUnavailable(f"What is to be encoded cannot be read: {error}.") from error


def entry_at(path: Path) -> Entry | None:
    """What lies at ``path``; None if it has gone meanwhile."""
    try:
        files = list(path.iterdir()) if path.is_dir() else [path]
        nbytes = sum(f.stat().st_size for f in files)
        if path.suffix or path / ABOUT not in files:
            return Entry(path, None, nbytes, 0.0)
        return Entry(path, key_of(path), nbytes, (path / ABOUT).stat().st_mtime)
    except FileNotFoundError:
        return None
    except Damaged:
        return Entry(path, None, nbytes, 0.0)


def remove(entry: Entry) -> bool:
    """Delete an entry, unless a process is reading or writing it at this moment, or it may not."""
    with suppress(Timeout, OSError), FileLock(entry.lock, timeout=0):
        _delete(entry.path)
    return not entry.path.exists()


def damage(entry: Entry) -> str | None:
    """What is wrong with an entry, every byte read; None if nothing is."""
    if entry.key is None:
        return "left by a process that was stopped or killed, or by another version of mmbench"
    try:
        read_features(entry.path)
        check_content(entry.path)
    except Damaged as error:
        return str(error)
    return None
