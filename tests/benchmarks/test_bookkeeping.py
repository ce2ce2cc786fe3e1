"""What a search spends on everything but training, from 100 to 10,000 trials.

Run with ``pytest tests/benchmarks/test_bookkeeping.py -m slow -s``.
"""

import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from mmbench.datasets.synthetic import Synergy
from mmbench.leaderboard.render import write_board
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.row_files import read_rows, write_row
from mmbench.plugins import load_plugins
from mmbench.resolve import resolve
from mmbench.search.candidates import find_candidates
from mmbench.search.propose import propose
from mmbench.search.request import SearchRequest
from mmbench.search.storage import open_storage
from mmbench.search.study import (
    RECORD,
    SPEC,
    snapshot,
)
from mmbench.search.worker import Tally, _pruner, _sampler
from mmbench.spec import Component, known_spec
from mmbench.tracking import Tracker, store_uri

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

BOARDS = Path(__file__).parents[2] / "leaderboards"
SIZES = (100, 1_000, 10_000)


def request() -> SearchRequest:
    task = Component("synergy")
    return SearchRequest(task, find_candidates(Synergy().task, load_plugins(), "cpu"), "cpu")


def finished(n: int, asked: SearchRequest) -> Iterator[FrozenTrial]:
    """Trials as a search leaves them: parameters, spec, a curve of ten epochs, a record."""
    plugins, source = (
        load_plugins(),
        optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)),
    )
    kinds = []
    for _ in range(min(n, 200)):
        trial = source.ask()
        spec = resolve(propose(trial, asked, plugins), plugins).spec
        kinds.append((trial.params, trial.distributions, spec.to_json()))
    for number in range(n):
        params, distributions, spec = kinds[number % len(kinds)]
        score = 0.5 + (number * 7919 % 1000) / 2500
        curve = [{"epoch": e, "train_loss": 1 / (e + 1), "score": score} for e in range(10)]
        record = {
            "state": "finished", "value": score, "utility": score, "seconds": 1.0,
            "parameters": 1000, "curve": curve,
        }  # fmt: skip
        yield optuna.trial.create_trial(
            params=params,
            distributions=distributions,
            value=score,
            user_attrs={SPEC: spec, RECORD: record},
            intermediate_values={c["epoch"]: c["score"] for c in curve},
            state=TrialState.COMPLETE,
        )


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[str, SearchRequest]]:
    made, asked = {}, request()
    for n in SIZES:
        url = str(tmp_path_factory.mktemp(f"study-{n}") / "study.journal")
        study = optuna.create_study(study_name="s", storage=open_storage(url), direction="maximize")
        study.add_trials(finished(n, asked))
        made[n] = url, asked
    return made


def many_rows(n: int) -> list[Row]:
    """The committed rows of ``synergy`` again and again, with ids and scores of their own."""
    known, _ = read_rows(BOARDS / "synergy")
    rows = []
    for number in range(n):
        row, shift = known[number % len(known)], (number * 7919 % 1000) / 1e4
        accuracy = row.quality[row.metric]
        moved = {k: accuracy[k] - shift for k in ("mean", "low", "high")}
        quality = {**row.quality, row.metric: {**accuracy, **moved}}
        rows.append(replace(row, id=f"{number:012x}", quality=quality, predictions=None))
    return rows


def of_one_trial(study: optuna.Study, asked: SearchRequest, tally: Tally) -> list[float]:
    """Seconds of this process to take a trial, propose it, report ten epochs, and end it."""
    clock = [time.process_time()]
    tally.count()  # is the budget spent?
    trial = study.ask()
    clock.append(time.process_time())
    spec = propose(trial, asked, load_plugins())
    clock.append(time.process_time())
    trial.set_user_attr(SPEC, spec.to_json())
    for epoch in range(10):
        trial.report(0.5, epoch)
        trial.should_prune()
    clock.append(time.process_time())
    trial.set_user_attr(RECORD, {"state": "finished", "value": 0.5, "utility": 0.5})
    study.tell(trial, 0.5)
    clock.append(time.process_time())
    return [later - earlier for earlier, later in pairwise(clock)]


def test_asking_and_telling_stays_below_fifty_milliseconds(studies) -> None:
    costs = {}
    for n, (url, asked) in studies.items():
        study = optuna.load_study(study_name="s", storage=open_storage(url))
        study.sampler, study.pruner = _sampler(asked, n), _pruner(asked)
        tally = Tally(study)
        parts = sorted((of_one_trial(study, asked, tally) for _ in range(15)), key=sum)
        costs[n] = 1000 * sum(parts[0])
        words = ", ".join(
            f"{name} {1000 * part:.1f}"
            for name, part in zip(("take", "propose", "ten epochs", "tell"), parts[0], strict=True)
        )
        median = 1000 * sum(parts[len(parts) // 2])
        print(f"\n{n:>6} trials: {costs[n]:.1f} ms at best, {median:.1f} ms median ({words})")
    assert max(costs.values()) <= 50


def test_watching_a_search_reads_each_spec_once(studies) -> None:
    for n, (url, _) in studies.items():
        study = optuna.load_study(study_name="s", storage=open_storage(url))
        snapshot(study)
        seconds = []
        for _ in range(5):
            start = time.process_time()
            snapshot(study)
            seconds.append(time.process_time() - start)
        print(f"\n{n:>6} trials: {1000 * min(seconds):.1f} ms for each look")
    assert min(seconds) <= 0.1


def test_logging_a_trial_costs_the_same_however_many_there_are(tmp_path: Path) -> None:
    """MLflow, from the first to the last of 300 trials in one search run."""
    tracker = Tracker(store_uri(tmp_path), tmp_path / "artifacts")
    run = tracker.search_run("synergy", "s", {}, {})
    asked, seconds = request(), []
    for number, trial in enumerate(finished(300, asked)):
        record, spec = trial.user_attrs[RECORD], known_spec(trial.user_attrs[SPEC])
        start = time.process_time()
        run.log_trial(number, "finished", spec, record)
        seconds.append(time.process_time() - start)
    first, last = statistics.median(seconds[5:55]), statistics.median(seconds[-50:])
    print(f"\nlogging: {1000 * first:.1f} ms a trial at first, {1000 * last:.1f} ms at 300")
    assert last <= 1.5 * first


def test_a_board_of_ten_thousand_rows_is_built_in_five_seconds(tmp_path: Path) -> None:
    rows = many_rows(10_000)
    write_row(tmp_path, rows[0])
    for row in rows:
        (tmp_path / row.task / f"{row.id}.json").write_text(json.dumps(row.to_dict()))
    start = time.process_time()
    found, problems = read_rows(tmp_path / rows[0].task)
    read = time.process_time()
    write_board(tmp_path, found)
    end = time.process_time()
    print(f"\n10,000 rows: read {read - start:.1f} s, rank and write {end - read:.1f} s")
    assert len(found) == 10_000 and not problems
    assert end - start <= 5
