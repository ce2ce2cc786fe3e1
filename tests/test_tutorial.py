"""The tutorial of the README, command by command, with the smallest budget there is."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import command_line
import pytest
from command_line import mmbench
from scaffolded import forget, install, run_tests
from test_readme import ROOT, TUTORIAL

NAME = "tutorial-fusion"
"""Not my-fusion: whoever followed the tutorial here has that installed."""
SHORT = [
    "--budget", "1", "--seeds", "2", "--workers", "1", "--leaderboards", "boards",
    "--set", "task.size=300", "--set", "train.max_epochs=1",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    forget(tmp_path / NAME)


@pytest.fixture
def no_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost of a committed row stands for all."""
    row = json.loads(next((ROOT / "leaderboards" / "synergy").glob("*.json")).read_text())
    monkeypatch.setattr(command_line, "measure_here", lambda *_: row["cost"])


@pytest.mark.usefixtures("no_measuring")
def test_from_nothing_to_a_compared_row(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in TUTORIAL:
        program, *arguments = shlex.split(command.replace("my-fusion", NAME))
        if program == "uv":
            assert arguments == ["pip", "install", "-e", NAME]
            install(folder / NAME, monkeypatch)  # the real one: test_scaffold, marked slow
        elif program == "pytest":
            assert run_tests(folder / NAME, *(folder / argument for argument in arguments)) == 0
        else:
            assert program == "mmbench"
            short = SHORT if arguments[0] == "compare" else []
            done = mmbench(folder, *arguments, *short)
            assert done.returncode == 0, done.stdout + done.stderr
    (comparison,) = folder.glob("boards/comparisons/*/comparison.json")
    contestants = {v["label"] for v in json.loads(comparison.read_text())["verdicts"]}
    assert {"concat", NAME} <= contestants
