"""Commands that lead from a row back to its task and its model, for a shell."""

import shlex
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from mmbench.leaderboard.row import Row

TABLE = "table"
ANSWERS = {
    "target": "", "split": "0.8/0.1/0.1", "target_kind": "", "separator": "", "root": "",
    "image_size": 64, "audio_seconds": 0.0,
}  # fmt: skip
"""What `--data` goes with, and what it is if it is not said."""


def rerun_command(row: Row, boards: PurePosixPath) -> str:
    """From where the boards were read."""
    return _on_file("rerun", row, boards)


def verify_command(row: Row, boards: PurePosixPath) -> str:
    """From where the boards were read."""
    return _on_file("verify", row, boards)


def _on_file(command: str, row: Row, boards: PurePosixPath) -> str:
    return shlex.join(["mmbench", command, str(boards / row.task / f"{row.id}.json")])


def search_command(row: Row) -> str:
    """A search on the task of a row; of a table of one's own, on that table."""
    command, params = ["mmbench", "search"], _params(row)
    if not _is_table(row):
        command += ["--task", row.task]
        for name in ("root", "path"):
            command += ["--set", f"task.{name}={params[name]}"] if params.get(name) else []
        return shlex.join(command)
    command += ["--data", str(params.get("path", f"{row.task.partition('.')[2]}.csv"))]
    for name, unsaid in ANSWERS.items():
        if (value := params.get(name, unsaid)) != unsaid:
            command += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(command)


def needs(row: Row) -> str:
    """What a reader must have before a command of this row works; empty: nothing."""
    params = _params(row)
    if not _is_table(row):
        place = params.get("root") or params.get("path")
        return f"This needs the task's data in {place}." if place else ""
    name, digest = PurePosixPath(str(params.get("path", ""))).name, str(params.get("sha256", ""))
    told = f", SHA-256 {digest[:12]}…" if digest else ""
    return (
        f"This needs the table {name}{told}, and the files that it names: it is the author's own "
        f"and was read at {params.get('path')}."
    )


def _is_table(row: Row) -> bool:
    return row.task.partition(".")[0] == TABLE


def _params(row: Row) -> Mapping[str, Any]:
    task = row.spec.get("task")
    found = task.get("params") if isinstance(task, dict) else None
    return found if isinstance(found, dict) else {}
