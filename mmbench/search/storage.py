"""Where a study is kept, and the lock under which those who share it take turns.

Optuna's storages keep single writes whole. What takes several (to look for a free trial, take it
and sign it; to end one and queue it again) is done in a turn, so that no worker sees half of it.
A lock is the kernel's or the database's own: it is free again when its holder dies.
"""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy import Connection, NullPool, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from mmbench.errors import InvalidSpec, StorageError, UnknownName, did_you_mean, first_line

Turn = AbstractContextManager[Any]
SQLITE, JOURNAL = b"SQLite format 3\0", b'{"op_code'
"""How such files begin."""
OUTAGE = (StorageInternalError, DBAPIError)
"""What is raised while a database is away."""
LONGEST_TURN = "60s"
"""A database takes the lock back from a holder that has said nothing for so long."""


def open_storage(url: str, *, new: bool = True) -> BaseStorage:
    """A journal file by path or ``journal:PATH``; SQLite or PostgreSQL by URL.

    Any number of processes may open a new one at once; ``new=False`` takes none that would have to
    be made. Raises ``StorageError``.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if (path := _local(url)) and not new and not path.exists():
        raise StorageError(
            f"There is no study at {path}. `mmbench search --prepare` makes one and prints the "
            f"command of its workers."
        )
    if path and path.is_file():
        _check_format(path, url)
    try:
        if "://" in url:
            with turn_of(url, "schema"):
                return RDBStorage(_with_driver(url), engine_kwargs={"pool_pre_ping": True})
        path = _file(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock: Any = JournalLock(path)
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(
            f"The study cannot be kept in {url}: {error}. Choose another place with --storage."
        ) from error
    except ImportError as error:
        raise StorageError(
            f"The driver of {shown(url)} is not installed: {error}. For PostgreSQL: "
            f"`pip install 'mmbench[postgres]'`."
        ) from error
    except Exception as error:
        raise StorageError(f"Optuna cannot open {shown(url)}: {first_line(error)}") from error


def turn_of(url: str, name: str, patience: float = 0.0) -> Turn:
    """The lock of one study (or of the schema) in a storage; not to be taken twice at once.

    ``patience``: how many seconds to wait for a database that is away.
    """
    if "://" not in url:
        path = _file(url)
        return FileLock(path.with_name(f"{path.name}.{name}.turn"))
    if url.startswith(("postgresql", "postgres:")):
        return DatabaseTurn(_with_driver(url), f"mmbench {name}", patience)
    if url.startswith("sqlite:///"):
        return FileLock(f"{url.removeprefix('sqlite:///')}.{name}.turn")
    raise StorageError(
        f"A study is kept in a journal file (a path), sqlite:///PATH or postgresql://…, where "
        f"workers can take turns; not in {shown(url)}. Choose one of these with --storage."
    )


@contextmanager
def within_reach(url: str) -> Iterator[None]:
    """An outage that lasts is said in a sentence. Raises ``StorageError``."""
    try:
        yield
    except OUTAGE as error:
        raise StorageError(
            f"The study in {shown(url)} was lost: {first_line(error)}. What has ended is kept; "
            f"start the same command again when the storage works."
        ) from error


def _local(url: str) -> Path | None:
    """The file that a storage is, if it is one."""
    if url.startswith("sqlite:///"):
        return Path(url.removeprefix("sqlite:///").partition("?")[0])
    return None if "://" in url else _file(url)


def _check_format(path: Path, url: str) -> None:
    """Refuse a file that is something else before a byte is written to it."""
    with path.open("rb") as file:
        start = file.read(len(SQLITE))
    is_sqlite, wants_sqlite = start == SQLITE, url.startswith("sqlite:")
    if is_sqlite and not wants_sqlite:
        raise StorageError(f"{path} is a SQLite file: give it as --storage sqlite:///{path}.")
    journal = JOURNAL.startswith(start[: len(JOURNAL)])  # of a torn first line the start alone
    if start and not is_sqlite and (wants_sqlite or not journal):
        raise StorageError(
            f"{path} is no study but another file, which is left as it is. Choose another place "
            f"with --storage."
        )


def known_study(name: str, storage: BaseStorage) -> optuna.Study:
    """The study of that name. Raises ``UnknownName``."""
    names = sorted(study.study_name for study in storage.get_all_studies())
    if name not in names:
        raise UnknownName(
            f"There is no study {name!r} in this storage.{did_you_mean(name, names)} It holds: "
            f"{', '.join(names) or 'none'}. `mmbench search --prepare` makes one."
        )
    return optuna.load_study(study_name=name, storage=storage)


def only_study(storage: BaseStorage) -> str:
    """The name of the study of a storage that holds just one."""
    names = sorted(study.study_name for study in storage.get_all_studies())
    if len(names) != 1:
        there = f"It holds: {', '.join(names)}." if names else "It holds none."
        raise InvalidSpec(f"Which study of the storage? {there} Name it with --study.")
    return names[0]


class JournalLock:
    """The lock under which a journal file is written.

    Optuna's own is a file that a killed writer leaves behind for half a minute; and the line it
    was writing would stay half written, which nobody could read past.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, FileLock(f"{path}.writer")

    def acquire(self) -> bool:
        self._lock.acquire(poll_interval=0.005)
        _drop_torn_line(self._path)
        return True

    def release(self) -> None:
        self._lock.release()


def _drop_torn_line(path: Path) -> None:
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return
        file.seek(size - 1)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


class DatabaseTurn:
    """A PostgreSQL advisory lock, held by a transaction: gone with it, however that ends."""

    def __init__(self, url: str, name: str, patience: float = 0.0) -> None:
        self._engine = create_engine(url, poolclass=NullPool)
        self._name, self._patience = name, patience

    def __enter__(self) -> None:
        self._connection = self._connected()
        self._connection.execute(
            text(f"SET LOCAL idle_in_transaction_session_timeout = '{LONGEST_TURN}'")
        )
        key = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
        self._connection.execute(key, {"name": self._name})

    def _connected(self) -> Connection:
        """A connection, as soon as the server takes one."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return self._engine.connect()
            except OperationalError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(1)

    def __exit__(self, *_: object) -> None:
        try:
            self._connection.commit()  # raises if the database has taken the lock back
        finally:
            self._connection.close()


def _file(url: str) -> Path:
    return Path(url.removeprefix("journal:"))


def _with_driver(url: str) -> str:
    """Psycopg 3, whatever SQLAlchemy's default is; ``postgres:`` is what many providers write."""
    for scheme in ("postgresql://", "postgres://"):
        if url.startswith(scheme):
            return f"postgresql+psycopg://{url.removeprefix(scheme)}"
    return url


def shown(url: str) -> str:
    """Without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "that URL"
