"""``mmbench …`` as a user types it, but in this process: another would import torch first.

The empty store of MLflow is made once and copied: its 70 migrations take seconds each time.
test_tracking.py makes real ones.
"""

import io
import shutil
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from unittest.mock import patch

from mmbench.cli import main as cli
from mmbench.tracking import store

create = store.create


@cache
def empty_store() -> Path:
    root = Path(mkdtemp())
    create(store.store_uri(root))
    return root / "mlflow.db"


def copy_empty_store(uri: str) -> None:
    path = store.database(uri)
    if path is not None and not path.exists():
        shutil.copy(empty_store(), path)


@dataclass(frozen=True)
class Done:
    """How a command ended and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def mmbench(folder: Path, *arguments: str) -> Done:
    """Run a command with ``folder`` as the working directory."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        chdir(folder),
        redirect_stdout(out),
        redirect_stderr(err),
        patch.object(sys, "argv", ["mmbench", *arguments]),
        patch.object(store, "create", copy_empty_store),
    ):
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())
