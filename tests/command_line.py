"""``mmbench …`` as a user types it, but in this process: another would import torch first.

Two things that take seconds each time are cut short. The empty store of MLflow, with its 70
migrations, is made once and copied: test_tracking.py makes real ones. And a model is measured in
this process, unless the main job is what is tested: test_cost.py measures in fresh ones.
"""

import gc
import io
import shutil
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from unittest.mock import patch

import torch

from mmbench import standalone
from mmbench.campaign import concluding
from mmbench.cli import main as cli
from mmbench.evaluation import measure
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


def measure_here(model: Path, device: str, threads: int) -> dict[str, Any]:
    gc.freeze()  # measuring collects garbage often, and all that tests hold is looked through
    try:
        return measure.measure(model, torch.device(device))
    finally:
        gc.unfreeze()


def mmbench(folder: Path, *arguments: str, fresh: bool = False) -> Done:
    """Run a command with ``folder`` as the working directory; ``fresh``: with nothing cut short."""
    if fresh:
        return run(folder, *arguments)
    with (
        patch.object(store, "create", copy_empty_store),
        patch.object(concluding, "measure_in_fresh_process", measure_here),
        patch.object(standalone, "measure_in_fresh_process", measure_here),
    ):
        return run(folder, *arguments)


def run(folder: Path, *arguments: str) -> Done:
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        chdir(folder),
        redirect_stdout(out),
        redirect_stderr(err),
        patch.object(sys, "argv", ["mmbench", *arguments]),
    ):
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())
