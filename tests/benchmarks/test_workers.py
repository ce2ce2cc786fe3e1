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
from mmbench.search.request import SearchRequest, study_name
from mmbench.search.storage import open_storage, turn_of
from mmbench.search.study import create_or_continue
from mmbench.spec import Component

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TRIALS = 12
SETTINGS = {"max_epochs": 6, "patience": 6, "batch_size": 64, "learning_rate": 1e-3}


def trials_per_minute(workers: int, folder: Path) -> float:
    """From the first trial's start to the last one's end: without the start of Python."""
    plugins, url = load_plugins(), str(folder / "study.journal")
    candidates = find_candidates(
        Synergy().task, plugins, "cpu", fusions=["product"], heads=["linear"], encoders=["mlp"]
    )
    request = SearchRequest(Component("synergy"), candidates, "cpu", train=SETTINGS)
    storage = open_storage(url)
    name = study_name(request, Synergy().version, plugins)
    with turn_of(url, name):
        study = create_or_continue(name, request, storage, plugins)
    arguments = ["--study", name, "--storage", url, "--trials", str(TRIALS)]
    pool = Pool(arguments, workers, 1, folder / "logs").start()
    try:
        while pool.alive():
            time.sleep(0.2)
    finally:
        pool.stop()
    trials = study.get_trials()
    starts = [t.datetime_start for t in trials if t.datetime_start]
    ends = [t.datetime_complete for t in trials if t.datetime_complete]
    assert len(ends) == TRIALS and not pool.died
    return 60 * TRIALS / (max(ends) - min(starts)).total_seconds()


def test_two_workers_do_more_than_one(tmp_path: Path) -> None:
    ratios = []
    for n in range(3):  # in turn, as the machine may be busier at one time than at another
        one = trials_per_minute(1, tmp_path / f"one-{n}")
        two = trials_per_minute(2, tmp_path / f"two-{n}")
        ratios.append(two / one)
        print(f"\n1 worker {one:.0f}, 2 workers {two:.0f} trials a minute: {two / one:.2f} ×")
    assert statistics.median(ratios) > 1
