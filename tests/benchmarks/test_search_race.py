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


def mean(lines: np.ndarray) -> np.ndarray:
    """(repeats, times) to (times,), of the repeats that have a score by then."""
    known = np.isfinite(lines)
    count = known.sum(0)
    return np.where(count > 0, np.where(known, lines, 0).sum(0) / np.maximum(count, 1), np.nan)


def draw(curves: list[dict[str, Curve]], seconds: float, title: str, path: Path) -> None:
    """Every repeat as a thin line, their mean as a thick one."""
    from matplotlib.figure import Figure

    times = np.linspace(0, seconds, 400)
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for side, colour in zip(SIDES, COLOURS, strict=False):
        lines = np.stack([best_by(one[side], times) for one in curves])
        axes.plot(times, lines.T, color=colour, linewidth=0.8, alpha=0.35)
        axes.plot(times, mean(lines), color=colour, linewidth=2.4, label=side)
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_xlabel("seconds", color=GREY)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", labelcolor=INK)
    figure.savefig(path)


def table(curves: list[dict[str, Curve]], task: str, seconds: float) -> str:
    """Means over the repeats that had a result by then, and how many had one."""
    times = np.array([0.25, 0.5, 0.75, 1.0]) * seconds
    lines = [f"| {task} | {' | '.join(f'{t:.0f} s' for t in times)} | trials | at the end |"]
    for side in SIDES:
        found = np.stack([best_by(one[side], times) for one in curves])
        known = np.isfinite(found).sum(0)
        cells = [
            f"{score:.3f} ({n} of {len(curves)})" if n else "–"
            for score, n in zip(mean(found), known, strict=True)
        ]
        trials = sum(len(one[side]) for one in curves) / len(curves)
        last = " ".join("–" if np.isnan(score) else f"{score:.3f}" for score in found[:, -1])
        lines.append(f"| {side} | {' | '.join(cells)} | {trials:.0f} | {last} |")
    return "\n".join(lines)


@pytest.mark.skipif(
    not ASKED, reason="takes as many seconds as MMBENCH_RACE=task:seconds says, × 5"
)
@pytest.mark.parametrize(("task", "seconds"), [(task, float(s)) for task, s in ASKED])
def test_never_worse_than_random_search(task: str, seconds: float, tmp_path: Path) -> None:
    curves = [race(task, seconds, repeat, tmp_path) for repeat in range(REPEATS)]
    print(f"\n{table(curves, task, seconds)}")
    title = f"Best validation score on {task}, {REPEATS} repeats"
    draw(curves, seconds, title, Path("leaderboards") / f"race-{task}.svg")
    last = np.stack([[best_by(one[s], np.array([seconds]))[0] for s in SIDES] for one in curves])
    ours, random = np.nan_to_num(last, nan=-np.inf).T
    assert (ours >= random).all(), f"random search found better in {(ours < random).sum()} repeats"
