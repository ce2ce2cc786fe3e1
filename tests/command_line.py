"""``mmbench …`` as a user types it, but in this process: another would import torch first."""

import io
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from mmbench.cli import main as cli


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
    ):
        try:
            cli.main()
        except SystemExit as end:
            code = end.code or 0
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())
