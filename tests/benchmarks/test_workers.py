"""Two workers on one study against one: trials per minute, in one run.

Run it with ``pytest tests/benchmarks/test_workers.py -m slow -s`` on a machine with two free cores.
"""

import statistics
import time
from pathlib import Path

import pytest

from mmbench.datasets.synthetic import Synergy
from mmbench.plugins import load_plugins
from mmbench.search.candidates import find_candidates
from mmbench.search.pool import Pool
from mmbench.search.request import SearchRequest
from mmbench.search.storage import open_storage, turn_of
from mmbench.search.study import create_or_continue
from mmbench.spec import Component

pytestmark = pytest.mark.slow

TRIALS = 32
SETTINGS = {"max_epochs": 10, "patience": 10, "batch_size": 64, "learning_rate": 1e-3}


def trials_per_minute(workers: int, folder: Path) -> float:
    """From the first trial's start to the last one's end: without the start of Python."""
    plugins, url = load_plugins(), str(folder / "study.journal")
    candidates = find_candidates(
        Synergy().task, plugins, "cpu", fusions=["product"], heads=["linear"], encoders=["mlp"]
    )
    request = SearchRequest(Component("synergy"), candidates, "cpu", train=SETTINGS)
    storage = open_storage(url)
    with turn_of(url, "s"):
        study = create_or_continue("s", request, storage, plugins)
    arguments = ["--study", "s", "--storage", url, "--trials", str(TRIALS)]
    pool = Pool(arguments, workers, 1, folder / "logs").start()
    while pool.alive():
        time.sleep(0.2)
    trials = study.get_trials()
    starts = [t.datetime_start for t in trials if t.datetime_start]
    ends = [t.datetime_complete for t in trials if t.datetime_complete]
    assert len(ends) == TRIALS and not pool.died
    return 60 * TRIALS / (max(ends) - min(starts)).total_seconds()


def test_two_workers_do_more_than_one(tmp_path: Path) -> None:
    ratios = []
    for turn in range(3):
        one, two = (
            trials_per_minute(n, tmp_path / f"{turn}-{n}") for n in ((1, 2), (2, 1))[turn % 2]
        )
        one, two = (one, two) if turn % 2 == 0 else (two, one)
        ratios.append(two / one)
        print(f"\n1 worker {one:.0f}, 2 workers {two:.0f} trials a minute: {two / one:.2f} ×")
    assert statistics.median(ratios) > 1
