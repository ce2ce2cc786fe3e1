"""Where the runs lie: creating the database once, opening it, and naming what is wrong with it."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import BaseFileLock, FileLock, Timeout

from mmbench.errors import StorageError

if TYPE_CHECKING:
    from mlflow import MlflowClient

SQLITE = "sqlite:///"
PATIENCE = 60.0
"""Seconds to wait for another process that writes to the store."""


def store_uri(root: Path) -> str:
    """The default store: one SQLite file under ``root``."""
    return f"{SQLITE}{root.resolve() / 'mlflow.db'}"


def ui_command(uri: str) -> list[str]:
    """The command that opens the MLflow UI on this store: one worker, which starts soonest."""
    return [sys.executable, "-P", "-m", "mlflow", "ui", "--backend-store-uri", uri, "--workers=1"]


def database(uri: str) -> Path | None:
    """The file behind a SQLite address; None for a database or tracking server."""
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def write_lock(uri: str, artifacts: Path) -> BaseFileLock:
    """One writer at a time: beside the SQLite file, or with the artifacts of a server's runs."""
    path = database(uri)
    lock = path.with_suffix(".lock") if path else artifacts / ".mmbench.lock"
    return FileLock(lock, timeout=PATIENCE)


def create(uri: str) -> None:
    """Make the SQLite file if there is none. Call it under the write lock.

    The file is filled under another name and renamed: a process killed on the way leaves no half
    a store behind, and no other process ever sees one.
    """
    path = database(uri)
    if path is None or (path.exists() and path.stat().st_size > 0):
        return
    fresh = path.with_suffix(".creating")
    fresh.unlink(missing_ok=True)
    client(f"{SQLITE}{fresh}")
    fresh.replace(path)


def put_artifacts(uri: str, experiment: str, folder: Path) -> None:
    """New runs of this experiment leave their files here, where the store is now.

    MLflow writes down where an experiment's files lay when it was made, and a folder that was moved
    since would come into being again. Runs that ended keep their places.
    """
    if path := database(uri):
        place = folder.as_uri(), experiment
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(
                "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", place
            )


def check_exists(uri: str) -> None:
    """Raise ``StorageError`` for a SQLite store that is not there, or is an empty file."""
    path = database(uri)
    if path is not None and not (path.is_file() and path.stat().st_size > 0):
        raise StorageError(
            f"There is no MLflow store at {path}: it was moved, or nothing was run yet. "
            "Name the folder it lies in, or start with `mmbench search`."
        )


def check_readable(uri: str) -> None:
    """Raise ``sqlite3.Error`` at once for a damaged file, which MLflow would retry for minutes."""
    if path := database(uri):
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")


def client(uri: str) -> MlflowClient:
    """A quiet client of the store; a SQLite file that is not there would be created."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # the steps of creating a database
    # its errors come with a traceback, and are raised as well: `storage` says them in a sentence
    logging.getLogger("mlflow.store").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        # MLflow's own tables use a loader strategy that SQLAlchemy 2.1 deprecates
        warnings.filterwarnings("ignore", "The ``noload`` loader strategy", DeprecationWarning)
        return MlflowClient(tracking_uri=uri)


@contextmanager
def storage(uri: str) -> Iterator[None]:
    """Turn whatever goes wrong with the store into a ``StorageError`` with a next step."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    place = database(uri) or uri
    try:
        yield
    except Timeout as error:
        raise StorageError(
            f"The MLflow store {place} has been in use for {PATIENCE:.0f} s ({error.lock_file}). "
            "Wait for the other process or stop it, then run the same command again."
        ) from None
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StorageError(f"The MLflow store {place}: {reason}. {_step(reason, uri)}") from None


def _step(reason: str, uri: str) -> str:
    """What to do about it, by what the database said."""
    if "locked" in reason:
        return "Another process is writing; wait for it or stop it, then run the command again."
    if "not a database" in reason or "malformed" in reason:
        return "The file is damaged: move it away, and the next search starts a new store."
    if "out-of-date" in reason:
        return f"Back it up, then run `{sys.executable} -m mlflow db upgrade {uri}`."
    if "not found" in reason:
        return "`mmbench ui` shows the runs there are."
    return "Make its folder writable, free some space, or choose another folder."
