"""The main job from the command line, on a small task: what a user sees and what is left behind."""

import copy
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import command_line
import pytest
from small_search import SEARCH, study_in

from mmbench.leaderboard.row import Row
from mmbench.leaderboard.row_files import read_rows, write_row
from mmbench.leaderboard.row_text import row_from_dict
from mmbench.leaderboard.verify import verify
from mmbench.plugins import load_plugins

FINAL = ["--top-k", "1", "--seeds", "2"]

Mmbench = Callable[..., str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def mmbench(home: Path) -> Mmbench:
    """What a command prints, in a folder of its own."""

    def call(*arguments: str) -> str:
        done = command_line.mmbench(home, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


@pytest.fixture(scope="module")
def searched(mmbench: Mmbench) -> list[dict]:
    printed = mmbench(*SEARCH, *FINAL, "--trials", "6", "--workers", "2", "--json")
    return json.loads(printed)


def test_the_rows_have_what_a_reader_needs(searched: list[dict]) -> None:
    assert {row["fusion"] for row in searched} >= {"majority", "only-a", "only-b", "concat"}
    wanted = {
        "id", "task", "encoders", "fusion", "head", "objective", "seeds", "accuracy",
        "accuracy_low", "accuracy_high", "latency_ms_p50", "latency_ms_p95", "peak_memory_mib",
        "parameters", "hardware", "gain", "spec", "environment",
    }  # fmt: skip
    for row in searched:
        assert wanted <= set(row)
        assert row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"]
        assert {"packages", "plugins", "git", "hardware"} <= set(row["environment"])
        assert row["seeds"] == [1000, 1001] and row["latency_ms_p50"] > 0
    alone = {r["fusion"]: r for r in searched}
    assert 0.4 < alone["only-a"]["accuracy"] < 0.6, "one modality knows the exclusive-or"
    assert alone["majority"]["encoders"] == {}
    gains = {r["fusion"]: r["gain"] for r in searched}
    assert not any(gains[baseline] for baseline in ("majority", "only-a", "only-b"))
    assert gains["concat"]["over"] in ("only-a", "only-b")
    assert gains["concat"]["low"] <= gains["concat"]["mean"] <= gains["concat"]["high"]


def test_the_budget_of_trials_is_kept(searched: list[dict], home: Path) -> None:
    done = study_in(home)
    assert len(done) == 6 == searched[0]["search"]["trials"]
    assert {a.state for a in done} <= {"finished", "pruned"}


def test_rows_and_board_lie_where_they_should(searched: list[dict], home: Path) -> None:
    rows, problems = read_rows(home / "leaderboards" / "synergy")
    assert not problems and {r.id for r in rows} == {r["id"] for r in searched}
    page = (home / "leaderboards" / "synergy" / "README.md").read_text()
    best = max(searched, key=lambda r: r["accuracy"])
    assert f"{best['accuracy']:.3f}" in page and "only-a" in page


def test_mlflow_holds_the_search_its_trials_and_the_finals(
    searched: list[dict], home: Path
) -> None:
    from mmbench.tracking import Tracker, store_uri
    from mmbench.tracking.query import search

    runs = home / "runs"
    tracker = Tracker(store_uri(runs), runs / "artifacts")
    frame = tracker.final_runs("synergy")
    assert set(frame["row_id"]) == {r["id"] for r in searched}
    found, problems = tracker.rows_of(frame)
    assert not problems and {r["id"] for r, _ in found.values()} == {r["id"] for r in searched}
    children = search(
        tracker._client, [tracker.experiment("synergy")], "tags.`mmbench.kind` = 'trial'"
    )
    assert sorted(int(r.data.tags["mmbench.trial"]) for r in children) == list(range(6))


def test_the_leaderboard_command_reads_rows_and_runs(
    searched: list[dict], mmbench: Mmbench, home: Path
) -> None:
    by_id = {r["id"]: r["accuracy"] for r in searched}
    for source in ([], ["--mlflow"]):
        shown = json.loads(mmbench("leaderboard", "--task", "synergy", "--json", *source))
        assert {r["id"]: r["accuracy"] for r in shown} == by_id
    mmbench("leaderboard", "--mlflow", "--write", "--leaderboards", "elsewhere")
    kept = sorted(p.name for p in (home / "leaderboards" / "synergy").glob("*.xz"))
    assert kept == sorted(p.name for p in (home / "elsewhere" / "synergy").glob("*.xz"))
    assert len(kept) == len(searched)
    written = (home / "elsewhere" / "synergy" / "README.md").read_text()
    assert written == (home / "leaderboards" / "synergy" / "README.md").read_text()
    by_latency = json.loads(mmbench("leaderboard", "--sort", "latency", "--json"))
    latencies = [r["latency_ms_p50"] for r in by_latency]
    assert latencies == sorted(latencies)


def test_a_rerun_gives_the_same_quality(searched: list[dict], mmbench: Mmbench, home: Path) -> None:
    product = next(r for r in searched if r["fusion"] == "product")
    row = home / "leaderboards" / "synergy" / f"{product['id']}.json"
    again = json.loads(mmbench("rerun", str(row), "--seeds", "1", "--json"))
    quality = next(d for d in again["differences"] if d["figure"] == "accuracy, seed 1000")
    assert quality["now"] == quality["before"] and quality["note"] == "identical"
    assert again["changes"] == []


def test_rows_say_who_is_taken_for_whom_and_verification_counts_again(
    searched: list[dict], home: Path, tmp_path: Path
) -> None:
    best = copy.deepcopy(next(r for r in searched if r["fusion"] == "product"))
    n = sum(map(sum, best["confusion"]))
    right = sum(line[i] for i, line in enumerate(best["confusion"]))
    assert right / n == pytest.approx(best["accuracy"])
    assert sum(best["reliability"]["rows"]) == n
    trials = {t["number"]: t for t in best["search"]["history"]}
    assert trials[best["search"]["trial"]]["fusion"] == "product"
    boards, plugins = shutil.copytree(home / "leaderboards", tmp_path / "boards"), load_plugins()
    (checked,) = verify([boards / "synergy" / f"{best['id']}.json"], plugins)
    assert checked.recomputed and not checked.problems
    best["confusion"][0][0] += 1
    fields = {f.name for f in dataclasses.fields(Row)}
    row = row_from_dict({key: value for key, value in best.items() if key in fields})
    (checked,) = verify([write_row(boards, row)], plugins)
    assert "confusion" in checked.problems[0]


def test_the_same_command_has_nothing_left_to_do(
    searched: list[dict], mmbench: Mmbench, home: Path
) -> None:
    printed = mmbench(*SEARCH, *FINAL, "--trials", "6", "--workers", "2", "--json")
    again = {r["id"]: r["accuracy"] for r in json.loads(printed)}
    assert again == {r["id"]: r["accuracy"] for r in searched}
    assert len(study_in(home)) == 6


def test_all_trials_stand_in_every_row(searched: list[dict], home: Path) -> None:
    ended = study_in(home)
    for row in searched:
        history = row["search"]["history"]
        assert [(t["number"], t["state"]) for t in history] == [(a.number, a.state) for a in ended]


def test_rows_are_published_from_mlflow_and_verified(
    searched: list[dict], mmbench: Mmbench, home: Path
) -> None:
    from mmbench.tracking import Tracker, store_uri

    frame = Tracker(store_uri(home / "runs"), home / "runs" / "artifacts").final_runs("synergy")
    runs = frame.loc[frame["row_id"] == searched[0]["id"], "run_id"]  # oldest first
    run_id = runs.iloc[0]  # the search's own: to train a row again logs one more
    printed = mmbench("publish", run_id, "--leaderboards", "published", "--json")
    assert json.loads(printed) == {"published": [searched[0]["id"]], "refused": {}}
    checked = json.loads(mmbench("verify", "leaderboards", "published", "--json"))
    assert len(checked) == len(searched) + 1
    assert all(row["valid"] and row["recomputed"] for row in checked)
    (row,) = (home / "published" / "synergy").glob("*.json")
    assert row.read_text() == (home / "leaderboards" / "synergy" / row.name).read_text()
