"""A search on a Ray of this machine, two of whose workers are killed in the middle."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mmbench_ray
import psutil
import pytest
import typer
from mmbench_ray import WorkersFailed, place, register_commands, run_worker
from typer.testing import CliRunner

from mmbench.testing import check_installed

README = (Path(__file__).parent / "README.md").read_text()
TRIALS = 8
SEARCH = [
    "search", "--task", "synergy", "--set", "task.size=300", "--fusion", "product,concat",
    "--encoder", "mlp", "--set", "train.max_epochs=60", "--set", "train.patience=60",
    "--trials", str(TRIALS), "--prepare",
]  # fmt: skip


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("MMBENCH_STORAGE", str(tmp_path / "study.journal"))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else it leaves a token in the home folder
    return dict(os.environ)


def states(journal: Path) -> list[Any]:
    """The trials as another process of the study sees them."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.load_study(study_name=None, storage=storage)
    return study.get_trials(deepcopy=False)


def signed_by(journal: Path, but: set[int]) -> Iterator[int]:
    """The workers in mid-trial that are none of those."""
    for trial in states(journal):
        if trial.state.name == "RUNNING" and len(trial.intermediate_values) >= 2:
            pid = trial.user_attrs["worker"]["pid"]
            if pid not in but:
                yield pid


def next_worker(journal: Path, but: set[int]) -> int:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for pid in signed_by(journal, but):
            return pid
        time.sleep(0.1)
    raise AssertionError("no worker runs a trial")


def test_workers_that_are_killed_are_placed_again(
    environment: dict[str, str], tmp_path: Path
) -> None:
    journal = tmp_path / "study.journal"
    mmbench = [sys.executable, "-m", "mmbench"]
    subprocess.run([*mmbench, *SEARCH], cwd=tmp_path, check=True, capture_output=True)
    with subprocess.Popen(
        [*mmbench, "ray", "--workers", "2", "--cpus", "0.5", "--trials", str(TRIALS)],
        cwd=tmp_path, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as driver:  # fmt: skip
        try:
            first = next_worker(journal, set())
            os.kill(first, signal.SIGKILL)  # the process of a worker
            second = next_worker(journal, {first})
            psutil.Process(second).parent().kill()  # the Ray worker that holds one
            output, errors = driver.communicate(timeout=150)
        finally:
            driver.terminate()
    assert driver.returncode == 0, output + errors
    assert output.count("it is started again") == 2
    trials = states(journal)
    ends = [t.user_attrs.get("record", {}).get("state", "interrupted") for t in trials]
    assert all(t.state.is_finished() for t in trials)
    assert ends.count("interrupted") == 2 and len(ends) == TRIALS + 2
    specs = [
        t.user_attrs["spec"] for t, end in zip(trials, ends, strict=True) if end != "interrupted"
    ]
    assert len({json.dumps(s) for s in specs}) == TRIALS
    assert not psutil.pid_exists(second) or psutil.Process(second).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("error", [ConnectionError, ValueError])
def test_no_cluster_is_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def none(*_: object, **__: object) -> None:
        raise error("could not find any running Ray instance")

    monkeypatch.setattr("ray.init", none)
    with pytest.raises(WorkersFailed, match="no Ray cluster at auto: could not find"):
        place("s.journal", address="auto")


def test_one_and_a_half_gpus_are_refused_before_ray_is_asked() -> None:
    with pytest.raises(WorkersFailed, match=r"--gpus 1\.5"):
        place("s.journal", gpus=1.5)


def test_a_worker_that_does_not_stop_when_it_is_told_to_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As one that is in the middle of a long call; the task is cancelled meanwhile."""
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    started, real = [], subprocess.Popen

    def start(_command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        started.append(real([sys.executable, "-c", deaf], **options))
        time.sleep(1)  # it has to be deaf by then
        return started[0]

    def cancelled(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mmbench_ray, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(mmbench_ray.subprocess, "Popen", start)
    monkeypatch.setattr(mmbench_ray, "time", SimpleNamespace(sleep=cancelled))
    with pytest.raises(KeyboardInterrupt):
        run_worker([])
    assert started[0].returncode == -signal.SIGKILL


def test_it_is_found_by_its_entry_point_and_the_readmes_flags_are_its_own() -> None:
    check_installed("mmbench-ray")
    app = typer.Typer()
    register_commands(app)
    app.callback()(lambda: None)
    known = set(re.findall(r"--[a-z]+", CliRunner().invoke(app, ["ray", "--help"]).output))
    (line,) = [line for line in README.splitlines() if line.startswith("mmbench ray")]
    assert {word for word in shlex.split(line) if word.startswith("--")} <= known
    assert set(re.findall(r"--(?:workers|gpus|cpus|threads|timeout|address)\b", README)) <= known
