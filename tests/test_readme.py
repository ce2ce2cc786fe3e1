"""Every command of the README runs, from the root of a clone, and does what the README says."""

import re
import shlex
from pathlib import Path

import pytest
from command_line import mmbench

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
LINES = [line for language, block in BLOCKS if not language for line in block.splitlines()]
(TUTORIAL,) = (b.splitlines() for _, b in BLOCKS if b.startswith("mmbench new"))
"""Steps that build on each other: see test_tutorial.py."""
COMMANDS = [line for line in LINES if line.startswith("mmbench ") and line not in TUTORIAL]
SETUP = ["pip install uv && uv run mmbench search --task vqa", "uvx --with tox-uv tox"]

SHORT = [
    "--trials", "4", "--top-k", "1", "--seeds", "1", "--set", "train.max_epochs=1",
    "--fusion", "product", "--encoder", "cnn", "--encoder", "bag-of-words",
    "--no-diagnoses", "--workers", "1", "--set", "task.train_images=400",
]  # fmt: skip
"""The main job, as short as it can be: the full one takes minutes."""


SHORT_SEARCH = [
    "--trials", "3", "--top-k", "1", "--seeds", "1", "--set", "train.max_epochs=1",
    "--no-diagnoses", "--workers", "1",
]  # fmt: skip
SHORT_COMPARISON = [
    "--fusions", "concat,product", "--budget", "1", "--seeds", "2", "--workers", "1",
    "--set", "task.size=300", "--set", "train.max_epochs=1",
]  # fmt: skip


def test_all_commands_are_covered_here() -> None:
    assert set(LINES) == set(COMMANDS) | set(SETUP) | set(TUTORIAL)


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the clone's root, so that committed boards are found; what is written goes elsewhere."""
    arguments = shlex.split(command)[1:]
    if arguments[0] == "compare":
        places = ["--out", str(tmp_path / "runs"), "--leaderboards", str(tmp_path / "boards")]
        arguments += [*SHORT_COMPARISON, *places]
    if arguments[0] == "search":
        places = ["--out", str(tmp_path / "runs"), "--leaderboards", str(tmp_path / "boards")]
        arguments += [*SHORT_SEARCH, *places]
    if "--html" in arguments:
        arguments[-1] = str(tmp_path)
    if arguments == ["verify", "leaderboards"]:
        arguments = ["verify", "leaderboards/synergy"]  # the whole tree: `tox -e rows`
    if arguments[0] == "sanity":
        arguments += ["--set", "task.size=400", "--set", "train.max_epochs=1"]
    if arguments[0] == "run":
        arguments += ["--out", str(tmp_path), "--set", "train.max_epochs=1"]
    done = mmbench(ROOT, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_main_job(tmp_path: Path) -> None:
    arguments = shlex.split(SETUP[0].split("uv run mmbench ")[1])
    places = ["--out", str(tmp_path / "runs"), "--leaderboards", str(tmp_path / "boards")]
    done = mmbench(ROOT, *arguments, *SHORT, *places, fresh=True)
    assert done.returncode == 0, done.stderr
    output = done.stdout
    assert "majority" in output and "mmbench rerun" in output and "mmbench ui" in output
    assert (tmp_path / "boards" / "vqa" / "README.md").exists()


def test_ci_runs_the_test_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert SETUP[1] in script.splitlines()


def test_the_plugin_of_the_readme_is_the_one_in_plugins() -> None:
    (shown,) = re.findall(r"```python\n(class MatchingFusion.*?)```", README, re.DOTALL)
    real = (ROOT / "plugins" / "mmbench-matching" / "mmbench_matching.py").read_text()
    for line in shown.splitlines():
        if "=" in line and "def " not in line and "# " not in line:
            assert line.strip() in real, line


def test_every_option_of_the_readme_exists() -> None:
    help_text = mmbench(ROOT, "search", "--help").stdout
    options = {o for row in re.findall(r"^\| `(--.*?)`", README, re.MULTILINE) for o in
               re.findall(r"--[a-z-]+", row)}  # fmt: skip
    assert len(options) > 10
    for option in options:
        assert option in help_text, option
