"""MLflow: one store for all tests of this file, for making one takes seconds."""

import json
import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from mmbench.errors import StorageError
from mmbench.evaluation.reliability import reliability_bins
from mmbench.spec import Component, TrialSpec
from mmbench.tracking import Evaluated, Tracker, store_uri, ui_command
from mmbench.tracking.query import read_row, search

SPEC = TrialSpec(
    task=Component("vqa"),
    encoders={"image": Component("cnn", {"width": 32}), "question": Component("bow")},
    fusion=Component("lowrank", {"rank": 4}),
    head=Component("mlp"),
)
CURVE = [
    {"epoch": 1, "train_loss": 2.0, "score": 0.4},
    {"epoch": 2, "train_loss": 1.0, "score": 0.5},
]
RECORD = {"value": 0.5, "curve": CURVE, "seconds": 3.0, "parameters": 1000, "error": None}


def row(row_id: str = "0123456789ab", **changes: Any) -> dict[str, Any]:
    score = {"mean": 0.9, "low": 0.8, "high": 0.95, "per_seed": [0.9, 0.9]}
    return {
        "id": row_id,
        "task": "vqa",
        "task_version": "1",
        "fusion": "lowrank",
        "spec": SPEC.to_dict(),
        "seeds": [101, 102],
        "metric": "accuracy",
        "quality": {
            "accuracy": score,
            "auroc": {"mean": 0.7, "low": None, "high": None, "per_seed": [0.7, 0.7]},
        },
        "slices": {"question_type": {"yes/no": {"rows": 10, "score": 0.75}}},
        "validation": {"mean": 0.91, "per_seed": [0.9, 0.92]},
        "gain": {"over": "only-image", "mean": 0.3, "low": 0.2, "high": 0.4},
        "latency_ms_p50": 1.25,
        "peak_memory_mib": None,
        "reference": False,
        "search": {"study": "first"},
        "hardware": "2 cores",
        "environment": {"torch": "2.11"},
        "created": "2026-11-22T12:00:00+00:00",
    } | changes


def track(root: Path) -> Tracker:
    return Tracker(store_uri(root), root / "artifacts")


def make_experiment(root: Path, task: str) -> str:
    return track(root).experiment(task)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that four processes created at once, each also making experiments."""
    root = tmp_path_factory.mktemp("store with a space")
    tasks = ["vqa", "vqa", "digits", "vqa"]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow.store.tracking.sqlalchemy_store"])  # imported once
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # as `mmbench.tracking` does before its import
    with context.Pool(4) as pool:
        ids = pool.starmap(make_experiment, [(root, task) for task in tasks])
    assert len({ids[0], ids[1], ids[3]}) == 1
    assert ids[2] != ids[0]
    return root


@pytest.fixture(scope="module")
def tracker(root: Path) -> Tracker:
    return track(root)


def artifacts(tracker: Tracker, run_id: str) -> Path:
    uri = tracker._client.get_run(run_id).info.artifact_uri
    return tracker.artifacts / uri.removeprefix(tracker.artifacts.as_uri() + "/")


def children(tracker: Tracker, parent: str) -> dict[str, Any]:
    runs = search(
        tracker._client, [tracker.experiment("vqa")], f"tags.`mlflow.parentRunId` = '{parent}'"
    )
    return {run.info.run_name: run for run in runs}


def test_four_processes_make_one_whole_store(root: Path) -> None:
    with closing(sqlite3.connect(root / "mlflow.db")) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM experiments")]
    assert sorted(names) == ["Default", "mmbench/digits", "mmbench/vqa"]
    assert not (root / "mlflow.creating").exists()


def test_half_a_store_of_a_killed_process_is_made_anew_in_silence(tmp_path: Path) -> None:
    (tmp_path / "mlflow.creating").write_text("half of a database")
    code = """if True:
        import sys, pathlib
        from mmbench.tracking import Evaluated, Tracker, store_uri
        root = pathlib.Path(sys.argv[1])
        Tracker(store_uri(root), root / "artifacts").experiment("vqa")
    """
    command = [sys.executable, "-W", "default", "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert [p.name for p in tmp_path.glob("mlflow.*") if p.suffix != ".lock"] == ["mlflow.db"]
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        assert ("mmbench/vqa",) in connection.execute("SELECT name FROM experiments").fetchall()


def test_each_state_of_a_trial_is_told_apart(tracker: Tracker) -> None:
    run = tracker.search_run("vqa", "states", {"trials": 4}, {"python": "3.11"})
    run.log_trial(0, "finished", SPEC, RECORD)
    run.log_trial(1, "pruned", SPEC, RECORD)
    run.log_trial(2, "violated", SPEC, {**RECORD, "violated": {"latency_ms_p50": 3.5}})
    run.log_trial(3, "failed", SPEC, {**RECORD, "value": None, "error": "Trace\nBoom: no"})
    trials = children(tracker, run.run_id)
    assert {name: (t.info.status, t.data.tags["mmbench.state"]) for name, t in trials.items()} == {
        "trial 0": ("FINISHED", "finished"),
        "trial 1": ("KILLED", "pruned"),
        "trial 2": ("KILLED", "violated"),
        "trial 3": ("FAILED", "failed"),
    }
    assert trials["trial 2"].data.tags["mmbench.violated"] == '{"latency_ms_p50":3.5}'
    assert "value" not in trials["trial 3"].data.metrics


def test_a_trial_keeps_its_figures_parameters_and_curve(tracker: Tracker) -> None:
    run = tracker.search_run("vqa", "figures", {}, {})
    run.log_trial(0, "finished", SPEC, {**RECORD, "peak_memory_mib": 12.5})
    trial = children(tracker, run.run_id)["trial 0"]
    data = trial.data
    assert data.params["encoders.image"] == "cnn"
    assert data.params["encoders.image.width"] == "32"
    assert data.params["fusion.rank"] == "4"
    assert data.params["train.learning_rate"] == "0.004"
    assert (data.metrics["value"], data.metrics["peak_memory_mib"]) == (0.5, 12.5)
    assert json.loads(data.tags["mmbench.spec"]) == SPEC.to_dict()
    history = tracker._client.get_metric_history(trial.info.run_id, "train_loss")
    assert [(m.step, m.value) for m in history] == [(1, 2.0), (2, 1.0)]
    assert trial.info.end_time - trial.info.start_time >= 3000


def test_a_trial_is_one_call_and_a_huge_one_loses_nothing(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tracker.search_run("vqa", "calls", {}, {})
    calls: list[str] = []
    log_batch = tracker._client.log_batch
    monkeypatch.setattr(
        tracker._client, "log_batch", lambda *a, **k: (calls.append(a[0]), log_batch(*a, **k))
    )
    run.log_trial(0, "finished", SPEC, RECORD)
    assert len(calls) == 1
    long = [{"epoch": e, "train_loss": 1.0 / e, "score": float("nan")} for e in range(1, 1001)]
    wide = TrialSpec(
        task=Component("vqa"),
        encoders={},
        fusion=Component("x", {f"p{i}": "v" * 7000 for i in range(150)}),
        head=Component("mlp"),
    )
    run.log_trial(1, "finished", wide, {**RECORD, "curve": long})
    assert len(calls) == 3
    trial = children(tracker, run.run_id)["trial 1"]
    history = tracker._client.get_metric_history(trial.info.run_id, "train_loss")
    assert (len(history), len(trial.data.params["fusion.p149"])) == (1000, 6000)
    assert "score" not in trial.data.metrics  # never a number
    assert len(trial.data.tags["mmbench.spec"]) == 8000


def test_the_traceback_is_kept_whole_and_its_last_line_shown(tracker: Tracker) -> None:
    text = "Traceback (most recent call last):\n  …\n" * 500 + "ValueError: " + "x" * 9000
    run = tracker.search_run("vqa", "traceback", {}, {})
    run.log_trial(0, "failed", SPEC, {**RECORD, "value": None, "error": text})
    trial = children(tracker, run.run_id)["trial 0"]
    assert (artifacts(tracker, trial.info.run_id) / "traceback.txt").read_text() == text
    assert trial.data.tags["mmbench.error"] == f"ValueError: {'x' * 7987}…"


def test_a_search_that_continues_finds_its_run_and_its_trials(root: Path, tracker: Tracker) -> None:
    first = tracker.search_run("vqa", "again", {"trials": 2}, {"host": "a"})
    first.log_trial(0, "finished", SPEC, RECORD)
    first.log_trial(1, "pruned", SPEC, RECORD)
    first.finish("KILLED")
    second = track(root).search_run("vqa", "again", {"trials": 9}, {"host": "b"})
    assert second.run_id == first.run_id
    assert tracker._client.get_run(second.run_id).info.status == "RUNNING"
    assert second.logged() == {0, 1}
    second.log_trial(1, "failed", SPEC, RECORD)  # already there: skipped
    second.log_trial(2, "finished", SPEC, RECORD)
    second.finish("FINISHED")
    trials = children(tracker, first.run_id)
    assert sorted(trials) == ["trial 0", "trial 1", "trial 2"]
    assert trials["trial 1"].data.tags["mmbench.state"] == "pruned"
    run = tracker._client.get_run(first.run_id)
    assert (run.info.status, run.data.tags["request.trials"]) == ("FINISHED", "9")
    stored = json.loads((artifacts(tracker, first.run_id) / "environment.json").read_text())
    assert stored == {"host": "b"}
    assert tracker.search_run("vqa", "other", {}, {}).run_id != first.run_id


def test_a_trial_half_written_by_a_killed_process_is_written_again(tracker: Tracker) -> None:
    first = tracker.search_run("vqa", "killed", {}, {})
    tracker._client.create_run(
        tracker.experiment("vqa"), tags={"mlflow.parentRunId": first.run_id}, run_name="trial 0"
    )
    second = tracker.search_run("vqa", "killed", {}, {})
    assert second.logged() == set()
    second.log_trial(0, "finished", SPEC, RECORD)
    assert [r.info.status for r in children(tracker, first.run_id).values()] == ["FINISHED"]


@pytest.fixture(scope="module")
def final(tracker: Tracker, tmp_path_factory: pytest.TempPathFactory) -> str:
    model = tmp_path_factory.mktemp("model")
    (model / "weights.safetensors").write_bytes(b"weights")
    scores = torch.tensor([[2.0, 0], [0, 1], [0, 3]])
    bins = reliability_bins(scores, torch.tensor([0, 0, 1]))
    labels = ["no", "yes"]
    return tracker.log_final(
        "vqa", Evaluated(row(), [CURVE, CURVE], [[5, 1], [0, 4]], labels, bins, model)
    )


def test_a_final_run_holds_everything(tracker: Tracker, final: str) -> None:
    run, folder = tracker._client.get_run(final), artifacts(tracker, final)
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == [
        "confusion.png",
        "curves.png",
        "environment.json",
        "model/weights.safetensors",
        "reliability.json",
        "reliability.png",
        "row.json",
        "spec.json",
    ]
    assert json.loads((folder / "row.json").read_text()) == row()
    for name in ("confusion", "curves", "reliability"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert sum(json.loads((folder / "reliability.json").read_text())["rows"]) == 3
    metrics = run.data.metrics
    assert (metrics["accuracy"], metrics["accuracy_low"], metrics["gain_high"]) == (0.9, 0.8, 0.4)
    assert metrics["accuracy.question_type.yes-no"] == 0.75
    assert metrics["score.seed_102"] == 0.5
    assert metrics["auroc"] == 0.7
    assert "auroc_low" not in metrics
    assert (run.data.tags["mmbench.kind"], run.data.tags["mmbench.row"]) == ("final", row()["id"])
    assert run.data.params["seeds"] == "101 102"


def test_the_same_row_is_one_run_and_a_new_one_replaces_it(tracker: Tracker, final: str) -> None:
    assert tracker.log_final("vqa", Evaluated(row(), [CURVE, CURVE])) == final
    newer = row("aaaaaaaaaaaa", created="2026-11-23T12:00:00+00:00")
    older = tracker.log_final("vqa", Evaluated(row("aaaaaaaaaaaa"), []))
    assert tracker.log_final("vqa", Evaluated(newer, [])) != older
    frame = tracker.final_runs("vqa")
    assert list(frame.columns) == ["run_id", "task", "row_id", "created", "study", "artifact_uri"]
    assert list(frame["row_id"]) == [row()["id"], "aaaaaaaaaaaa", "aaaaaaaaaaaa"]
    found, problems = tracker.rows_of(frame)
    assert ([r for r, _ in found.values()], problems) == ([row(), newer], [])


@pytest.mark.parametrize("older", [False, True])
def test_a_row_evaluated_once_more_alone_does_not_replace_that_of_its_search(
    older: bool, tracker: Tracker, tmp_path: Path
) -> None:
    """As ``mmbench rerun`` does: it has no gain. Older stores do not say which is the search's."""
    tracker = track(tmp_path)
    searched = tracker.log_final("vqa", Evaluated(row(), []))
    alone = row(search={"study": None}, gain=None)
    tracker.log_final("vqa", Evaluated(row("aaaaaaaaaaaa"), []))
    tracker.log_final("vqa", Evaluated(alone, []))
    if older:
        tracker._client.delete_tag(searched, "mmbench.study")
    found, problems = tracker.rows_of(tracker.final_runs("vqa"))
    assert ([r for r, _ in found.values()], problems) == ([row(), row("aaaaaaaaaaaa")], [])
    both_older = tracker.final_runs("vqa").assign(study=None)
    assert alone in [r for r, _ in tracker.rows_of(both_older)[0].values()], "the newest"


def test_a_final_run_that_broke_off_does_not_count(tracker: Tracker, final: str) -> None:
    before = len(tracker.final_runs())
    with pytest.raises(ValueError, match="zip"):
        tracker.log_final("vqa", Evaluated(row("bbbbbbbbbbbb"), [CURVE]))  # two seeds
    assert len(tracker.final_runs()) == before


def test_rows_that_cannot_be_read_are_named(tracker: Tracker, final: str) -> None:
    gone = tracker.log_final("digits", Evaluated(row("cccccccccccc"), []))
    bad = tracker.log_final("digits", Evaluated(row("dddddddddddd"), []))
    good = tracker.log_final("digits", Evaluated(row("eeeeeeeeeeee"), []))
    shutil.rmtree(artifacts(tracker, gone))
    (artifacts(tracker, bad) / "row.json").write_text("{")
    found, problems = tracker.rows_of(tracker.final_runs("digits"))
    assert [r["id"] for r, _ in found.values()] == ["eeeeeeeeeeee"]
    assert gone in problems[0]
    assert "If the store was moved" in problems[0]
    assert bad in problems[1]
    assert good not in " ".join(problems)


def test_a_store_that_was_moved_is_read_where_it_is(
    tracker: Tracker, final: str, tmp_path: Path
) -> None:
    shutil.copytree(tracker.artifacts, tmp_path / "artifacts")
    uri = f"file:///elsewhere/artifacts/vqa/{final}/artifacts"
    assert read_row(tracker._client, final, uri, tmp_path / "artifacts") == row()


def test_a_store_that_was_moved_is_written_where_it_is(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    Tracker(store_uri(before), before / "artifacts").experiment("vqa")
    shutil.move(before, after)
    tracker = Tracker(store_uri(after), after / "artifacts")
    found = tracker._client.get_experiment(tracker.experiment("vqa"))
    assert found.artifact_location == (after / "artifacts" / "vqa").as_uri()
    assert not before.exists()


def test_stores_that_are_not_there_say_so(tmp_path: Path, tracker: Tracker) -> None:
    with pytest.raises(StorageError, match=r"There is no MLflow store at .*moved.*mmbench search"):
        track(tmp_path).final_runs()
    assert list(tmp_path.iterdir()) == []  # asking makes nothing
    with pytest.raises(StorageError, match="no final evaluation of nothing"):
        tracker.final_runs("nothing")
    (tmp_path / "mlflow.db").write_text("this is not a database, whatever its name may say" * 40)
    with pytest.raises(StorageError, match=r"not a database. The file is damaged"):
        track(tmp_path).final_runs()


def test_a_locked_store_says_so(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from filelock import FileLock

    shutil.copy(root / "mlflow.db", tmp_path / "mlflow.db")
    monkeypatch.setattr("mmbench.tracking.store.PATIENCE", 0.1)
    with FileLock(tmp_path / "mlflow.lock"), pytest.raises(StorageError, match="has been in use"):
        track(tmp_path).experiment("vqa")
    holder = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageError, match=r"locked.*Another process is writing"):
        track(tmp_path).final_runs()
    holder.close()
    assert capfd.readouterr().err == ""


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Make its folder writable"):
        track(tmp_path / "file").experiment("vqa")


def test_importing_tracking_does_not_import_mlflow() -> None:
    code = (
        "import sys, mmbench.tracking; print(*{'mlflow', 'pandas', 'matplotlib'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_command_of_the_ui_names_this_store(root: Path) -> None:
    command = ui_command(store_uri(root))
    assert command[1:6] == ["-P", "-m", "mlflow", "ui", "--backend-store-uri"]
    assert command[6] == store_uri(root)
