"""Data that are moved are still the same: ids, studies, caches and rows go by what is in them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from command_line import mmbench
from small_finals import concluded, trained

from mmbench.errors import DataUnavailable, InvalidParameter
from mmbench.features import FeatureCache
from mmbench.leaderboard.row_files import write_row
from mmbench.plugins import Plugins, load_plugins
from mmbench.resolve import Resolved, resolve, resolve_dataset
from mmbench.search.attempt import Attempt
from mmbench.search.candidates import find_candidates
from mmbench.search.finals import chosen
from mmbench.search.jobs import write_jobs
from mmbench.search.request import SearchRequest, study_name
from mmbench.search.storage import open_storage
from mmbench.search.study import attempted, create_or_continue, request_of
from mmbench.spec import Component, TrialSpec, family_of, spec_from_json, train_spec
from mmbench.tables.options import TableOptions
from mmbench.tables.preparing import prepare_anew
from mmbench.trial import Workbench, data_key


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load_plugins()


def table(folder: Path, seed: int = 0) -> Path:
    draw = np.random.default_rng(seed)
    folder.mkdir()
    n = 60
    frame = pd.DataFrame(
        {
            "age": draw.normal(size=n).round(4),
            "note": [f"a note about animal number {i} here" for i in range(n)],
            "label": ["yes" if i % 2 else "no" for i in range(n)],
        }
    )
    frame.to_csv(folder / "data.csv", index=False)
    return folder / "data.csv"


def resolved(path: Path, plugins: Plugins, **options: object) -> Resolved:
    complete = prepare_anew(TableOptions(path=str(path), target="label")).options.params()
    task = Component("table.pets", {**complete, **options})
    encoders = {"table": Component("vector"), "note": Component("tfidf")}
    return resolve(TrialSpec(task, encoders, Component("concat"), Component("mlp")), plugins)


def test_the_id_goes_by_the_content(tmp_path, plugins):
    here, there = (resolved(table(tmp_path / name), plugins) for name in ("one", "two"))
    assert here.spec.task.places == {"path": str(tmp_path / "one" / "data.csv")}
    assert here.spec.task.places != there.spec.task.places
    assert (here.spec.id, here.spec.family) == (there.spec.id, there.spec.family)
    assert data_key(here) == data_key(there)
    another = resolved(table(tmp_path / "three", seed=1), plugins)
    assert another.spec.id != here.spec.id and data_key(another) != data_key(here)


def test_without_a_hash_of_the_table_too(tmp_path, plugins):
    one, other = (
        resolved(table(tmp_path / str(seed), seed), plugins, sha256="") for seed in (0, 1)
    )
    assert one.spec.task.params == other.spec.task.params
    assert one.spec.id != other.spec.id


def test_a_place_survives_json(tmp_path, plugins):
    spec = resolved(table(tmp_path / "one"), plugins).spec
    assert spec_from_json(spec.to_json()) == spec
    assert family_of(spec.to_dict()) == spec.family
    assert resolve(spec, plugins).spec == spec


def test_only_places_are_moved(tmp_path, plugins):
    spec = resolved(table(tmp_path / "one"), plugins).spec
    shutil.move(tmp_path / "one", tmp_path / "two")
    with pytest.raises(DataUnavailable, match=r"There is no table .*task\.path=FILE"):
        resolve(spec, plugins)
    now = str(tmp_path / "two" / "data.csv")
    assert resolve(spec.moved({"path": now}), plugins).spec.id == spec.id
    there = replace(spec.task, places={"path": now})
    rooted = spec.moved({"path": "gone.csv", "root": "gone"})
    assert rooted.at(there).task.places == {"path": now}, "nothing is left of where they lay"
    with pytest.raises(InvalidParameter, match=r"'target' does not say .* Allowed: path, root\."):
        resolve(spec.moved({"target": "age"}), plugins)
    vqa = TrialSpec(Component("vqa"), {}, Component("majority"), Component("linear"))
    with pytest.raises(InvalidParameter, match="Allowed: nothing, they come with it"):
        resolve(vqa.moved({"path": now}), plugins)


def asked(path: Path, plugins: Plugins) -> SearchRequest:
    found = resolved(path, plugins)
    candidates = find_candidates(
        found.task, plugins, "cpu", fusions=["concat"], heads=["linear"],
        encoders=["vector", "tfidf"], objectives=["plain"],
    )  # fmt: skip
    return SearchRequest(found.spec.task, candidates, "cpu", train={"max_epochs": 1})


def test_a_search_goes_on_where_its_data_lie_now(tmp_path, plugins):
    bench = Workbench(torch.device("cpu"), FeatureCache(tmp_path / "features"))

    def study_of(request: SearchRequest) -> optuna.Study:
        name = study_name(request, resolve_dataset(request.task, plugins)[1].version, plugins)
        return create_or_continue(name, request, open_storage(str(tmp_path / "journal")), plugins)

    def go_on(study: optuna.Study, trials: int) -> None:
        attempts = [
            Attempt(study, study.ask(), request_of(study), plugins, bench) for _ in range(trials)
        ]
        assert [a.run() for a in attempts] == ["finished"] * trials

    before = study_of(asked(table(tmp_path / "one"), plugins))
    go_on(before, 2)
    shutil.move(tmp_path / "one", tmp_path / "two")
    now = asked(tmp_path / "two" / "data.csv", plugins)
    study = study_of(now)
    assert study.study_name == before.study_name and request_of(study).task == now.task
    go_on(study, 2)  # those that were queued when the data lay elsewhere
    assert len(attempted(study)) == 4
    for spec in chosen(study, now, 1, plugins):
        assert resolve(spec, plugins).spec.task == now.task
    (tmp_path / "jobs").mkdir()
    old = resolved(table(tmp_path / "one"), plugins).spec
    new = old.moved(now.task.places)
    assert write_jobs(tmp_path / "jobs", [old]) == (jobs := write_jobs(tmp_path / "jobs", [new]))
    assert spec_from_json((jobs[0] / "spec.json").read_text()).task.places == now.task.places


def test_a_row_is_verified_and_trained_again_where_its_data_lie_now(tmp_path, plugins):
    spec = resolved(table(tmp_path / "one"), plugins).spec
    short = replace(spec, train=train_spec({"max_epochs": 1}))
    families = dict([trained(short, [1000, 1001], plugins, tmp_path / "runs")])
    (row,) = concluded(families, plugins, [("finished", 0.5)])
    write_row(tmp_path / "leaderboards", row, families[row.id][0].folder)
    shutil.move(tmp_path / "one", tmp_path / "two")

    done = mmbench(tmp_path, "verify", "leaderboards")
    assert done.returncode == 1 and "task.path=FILE" in done.stdout
    there = ("--set", f"task.path={tmp_path / 'two' / 'data.csv'}")
    done = mmbench(tmp_path, "verify", "leaderboards", *there)
    assert done.returncode == 0, done.stdout
    done = mmbench(tmp_path, "rerun", row.id, "--set", "task.target=age")
    assert done.returncode == 2 and "does not say where its data lie" in done.stderr
    done = mmbench(tmp_path, "rerun", row.id, *there, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["id"] == row.id
