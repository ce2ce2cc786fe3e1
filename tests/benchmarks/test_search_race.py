"""Best validation score after so many seconds: the search against random search, side by side.

Run it with ``MMBENCH_RACE=vqa:240,watch:90 pytest tests/benchmarks/test_search_race.py -m slow -s``
on a machine with two free cores: a core for each side, exchanged from one repeat to the next, at
the same time, so that what else the machine does is hard for both. It writes
``leaderboards/race-TASK.svg`` and prints the table of ``leaderboards/speed.md``.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mmbench.tracking.pictures import COLOURS, GREY, INK

REPEATS = 5
SIDES = ("mmbench", "random")
READY = 30.0
"""Seconds that both sides have to import, to load and to meet at the start."""
SCRIPT = Path(__file__).with_name("race_side.py")
ASKED = [one.split(":") for one in os.environ.get("MMBENCH_RACE", "").split(",") if one]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

Curve = list[list[float]]
"""[seconds since the start, score] of each trial that finished."""


def race(task: str, seconds: float, repeat: int, folder: Path) -> dict[str, Curve]:
    """Both sides at once, each on a core of its own."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    assert len(cores) == 2, "two cores are needed"
    start, runs = time.time() + READY, []
    for side, core in zip(SIDES, cores if repeat % 2 else cores[::-1], strict=True):
        own = folder / f"{task}-{repeat}-{side}"
        own.mkdir()
        command = ["taskset", "-c", str(core), sys.executable, str(SCRIPT), side, task]
        runs.append(subprocess.Popen([*command, *map(str, (repeat, start, seconds, own))]))
    assert [run.wait() for run in runs] == [0, 0]
    return {s: json.loads((folder / f"{task}-{repeat}-{s}/curve.json").read_text()) for s in SIDES}


def best_by(curve: Curve, times: np.ndarray) -> np.ndarray:
    """The best score that was known at each time; nan before the first."""
    return np.array([max((s for t, s in curve if t <= now), default=np.nan) for now in times])


def draw(curves: list[dict[str, Curve]], seconds: float, title: str, path: Path) -> None:
    """Every repeat as a thin line, their mean as a thick one."""
    from matplotlib.figure import Figure

    times = np.linspace(0, seconds, 400)
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for side, colour in zip(SIDES, COLOURS, strict=False):
        lines = np.stack([best_by(one[side], times) for one in curves])
        axes.plot(times, lines.T, color=colour, linewidth=0.8, alpha=0.35)
        axes.plot(times, lines.mean(0), color=colour, linewidth=2.4, label=side)
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_xlabel("seconds", color=GREY)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", labelcolor=INK)
    figure.savefig(path)


@pytest.mark.skipif(
    not ASKED, reason="takes as many seconds as MMBENCH_RACE=task:seconds says, × 5"
)
@pytest.mark.parametrize(("task", "seconds"), [(task, float(s)) for task, s in ASKED])
def test_never_worse_than_random_search(task: str, seconds: float, tmp_path: Path) -> None:
    curves = [race(task, seconds, repeat, tmp_path) for repeat in range(REPEATS)]
    times = np.array([0.25, 0.5, 0.75, 1.0]) * seconds
    found = {side: np.stack([best_by(one[side], times) for one in curves]) for side in SIDES}
    print(f"\n| {task} | {' | '.join(f'{t:.0f} s' for t in times)} | trials | at the end |")
    for side in SIDES:
        trials = sum(len(one[side]) for one in curves) / REPEATS
        mean = " | ".join(f"{score:.3f}" for score in found[side].mean(0))
        last = " ".join(f"{score:.3f}" for score in found[side][:, -1])
        print(f"| {side} | {mean} | {trials:.0f} | {last} |")
    draw(
        curves, seconds, f"Best validation score on {task}, {REPEATS} repeats",
        Path("leaderboards") / f"race-{task}.svg",
    )  # fmt: skip
    ahead = found["mmbench"][:, -1].mean() - found["random"][:, -1].mean()
    assert ahead >= 0, f"random search found better by {-ahead:.4f} on average"
