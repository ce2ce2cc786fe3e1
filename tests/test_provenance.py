"""Which plugins made a result: recorded, compared, refused; and what a new plugin means."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import torch
from installing import Site, fusion
from optuna.storages.journal import JournalFileBackend
from small_search import name_of
from test_search import attempt_all, request

from mmbench.campaign.earlier import earlier_studies
from mmbench.campaign.places import Places
from mmbench.campaign.searching import prepare
from mmbench.errors import InvalidSpec, PluginDiffers
from mmbench.evaluation.environment import environment
from mmbench.features import FeatureCache
from mmbench.installed.contents import _sha256, code_sha256, content_sha256
from mmbench.installed.offers import Offer, offers
from mmbench.plugins import Plugins, load_plugins
from mmbench.provenance import Used, departures, read_used, require, used_by
from mmbench.resolve import Resolved, resolve
from mmbench.saved import load_model
from mmbench.search.inheritance import inheritance, take_over
from mmbench.search.propose import default_spec
from mmbench.search.request import SearchRequest, study_name
from mmbench.search.storage import open_storage
from mmbench.search.study import (
    FIXED_SPEC,
    TAKEN_OVER,
    attempted,
    create_or_continue,
    open_study,
    snapshot,
)
from mmbench.search.worker import Budget, work
from mmbench.spec import Component
from mmbench.trial import Workbench


def load() -> Plugins:
    return load_plugins.__wrapped__()


def resolved_with(name: str, plugins: Plugins) -> Resolved:
    return resolve(default_spec(request(plugins), plugins, Component(name)), plugins)


def hash_of(name: str) -> str:
    return content_sha256([offer for offer in offers() if offer.name == name])


# the hash of what ran


def test_the_hash_is_of_the_files_themselves(site: Site) -> None:
    module = site.install("good", fusion("good"))
    before = content_sha256(offers())
    (site.folder / "__pycache__").mkdir()
    (site.folder / "__pycache__" / "good.pyc").write_bytes(b"compiled")
    (site.folder / "neighbour.py").write_text("x = 1")
    assert fresh_hash() == before, "only its own sources count"
    module.write_text(module.read_text() + "\n# edited after it was installed\n")
    assert fresh_hash() != before
    module.unlink()
    assert fresh_hash() != before


def fresh_hash() -> str:
    _sha256.cache_clear()
    return content_sha256(offers())


def test_an_editable_installation_of_the_same_code_has_the_same_hash(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    site.install("good", fusion("good"))
    ordinary = fresh_hash()
    (info,) = site.folder.glob("*.dist-info")
    work = tmp_path / "work"
    work.mkdir()
    shutil.move(site.folder / "good.py", work / "good.py")
    (info / "RECORD").write_text("__editable__.good-1.0.pth,,\n")
    (info / "direct_url.json").write_text('{"url": "file:///", "dir_info": {"editable": true}}')
    monkeypatch.syspath_prepend(str(work))
    assert fresh_hash() == ordinary
    (work / "good.py").write_text(fusion("good", about="Another."))
    assert fresh_hash() != ordinary


def test_a_package_counts_with_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "b.py").write_text("1")
    one, other = (Offer(n, f"{n}.py", "file", str(tmp_path / f"{n}.py")) for n in "ab")
    assert len({content_sha256([one]), content_sha256([other]), content_sha256([one, other])}) == 3


@pytest.mark.parametrize("said", ["RECORD", "top_level.txt"])
def test_the_code_of_a_plugin_is_all_that_its_distribution_lets_import(
    site: Site, said: str
) -> None:
    site.install("good", fusion("good"))
    (info,) = site.folder.glob("*.dist-info")
    helper = site.folder / "helpers" / "sound.py"
    helper.parent.mkdir()
    line = "helpers/sound.py,," if said == "RECORD" else "helpers"
    digests = []
    for rate, lines in ((1, ""), (1, line), (2, line)):
        helper.write_text(f"RATE = {rate}")
        with (info / said).open("a") as file:
            file.write(f"{lines}\n" if lines else "")
        _sha256.cache_clear()  # as in another process
        digests.append(code_sha256("good"))
    assert len(set(digests)) == 3
    assert code_sha256("helpers") == digests[-1] != code_sha256("json")


# what is recorded


def test_a_trial_says_which_plugins_it_used(site: Site, tmp_path: Path) -> None:
    site.install("good", fusion("good"), version="1.2")
    site.install("idle", fusion("idle"))
    plugins = load()
    expected = {
        "distribution": "good",
        "version": "1.2",
        "sha256": hash_of("good"),
        "components": ["fusion good"],
    }
    assert used_by(resolved_with("good", plugins), plugins) == [expected]
    assert used_by(resolved_with("concat", plugins), plugins) == []
    asked = request(plugins, fusions=("good", "concat"))
    study = optuna.create_study()
    study = create_or_continue("s", asked, open_storage(str(tmp_path / "j")), plugins)
    bench = Workbench(torch.device("cpu"), FeatureCache(tmp_path))
    assert attempt_all(study, asked, plugins, bench, 5) == ["finished"] * 5
    recorded = {a.spec.fusion.name: a.record.get("plugins") for a in attempted(study)}
    assert recorded == {"majority": None, "only": None, "concat": None, "good": [expected]}
    found = environment(plugins, resolved_with("good", plugins))
    assert found["used_plugins"] == [expected]
    assert {p["distribution"]: p["sha256"] for p in found["plugins"]}["good"] == expected["sha256"]


def used(distribution: str = "good", version: str = "1.0", sha256: str = "0" * 64) -> Used:
    return {
        "distribution": distribution,
        "version": version,
        "sha256": sha256,
        "components": ["fusion good"],
    }


def test_differences_are_refused_with_what_to_do(site: Site) -> None:
    site.install("good", fusion("good"))
    plugins = load()
    assert require([used(sha256=hash_of("good")), used(sha256="")], plugins, "row x") == []
    for recorded, text in (
        (used(), r"row x: good 1.0 \(sha256 000000000000\).*other content.*--anyway"),
        (used(version="0.9"), r"fusion good was from good 0.9.*1.0 is installed.*good==0.9"),
    ):
        with pytest.raises(PluginDiffers, match=text):
            require([recorded], plugins, "row x")
        assert len(require([recorded], plugins, "row x", anyway=True)) == 1
    for recorded, text in (
        (used("lost"), r"lost 1.0 .*not here.*`uv pip install lost==1.0`"),
        (used("my.py", "file"), r"the file my.py .*--plugin my.py"),
    ):
        with pytest.raises(PluginDiffers, match=text) as refused:
            require([recorded], plugins, "row x", anyway=True)
        assert "--anyway" not in str(refused.value)


@pytest.mark.parametrize(
    "data",
    [
        {"distribution": "good"},
        ["good"],
        [{"distribution": "good"}],
        [used("good; rm -rf ~")],
        [used(version="1.0 --index-url http://evil")],
        [used(sha256="latest")],
        [{**used(), "components": ["fusion good`reboot`"]}],
        [{**used(), "components": 3}],
    ],
)
def test_a_record_that_is_none_is_refused(data: object) -> None:
    with pytest.raises(InvalidSpec, match="row x"):
        read_used(data, "row x")


# run, rerun, verify


def test_a_row_of_a_file_is_rerun_only_with_that_file(
    at_site: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mmbench.tracking.Tracker.log_final", lambda *_, **__: None)
    file = tmp_path / "mine.py"
    file.write_text(fusion("mine"))
    small = ["--set", "task.size=200", "--set", "train.max_epochs=1"]
    code, output, errors = at_site(
        "run", "--task", "synergy", "--fusion", "mine", "--json", "--plugin", str(file), *small
    )
    assert code == 0, errors  # the process that measures the cost has the file too
    assert at_site("publish", "runs/single")[0] == 0
    (board,) = Path("leaderboards/synergy").glob(f"{json.loads(output)['id']}.json")
    made = json.loads(board.read_text())
    (recorded,) = made["environment"]["used_plugins"]
    assert (recorded["distribution"], recorded["version"]) == ("mine.py", "file")
    measured = "mmbench.standalone.measure_in_fresh_process"
    monkeypatch.setattr(measured, lambda *_, **__: made["cost"])

    code, output, _ = at_site("rerun", str(board), "--json")
    assert code == 0 and json.loads(output)["differences"][0]["note"] == "identical"
    _, output, _ = at_site("verify", str(board))
    assert f"made with the file mine.py (sha256 {recorded['sha256'][:12]})" in output

    file.write_text(fusion("mine", about="Better."))
    forget_contents()
    code, _, errors = at_site("rerun", str(board))
    assert code == 2 and recorded["sha256"][:12] in errors and "--anyway" in errors
    assert "other content" in at_site("verify", str(board))[1]
    code, output, _ = at_site("rerun", str(board), "--anyway", "--json")
    assert code == 0 and "other content" in json.loads(output)["changes"][0]

    monkeypatch.setenv("MMBENCH_PLUGIN_FILES", "")
    code, _, errors = at_site("rerun", str(board), "--anyway")
    assert code == 2 and "--plugin mine.py" in errors and "no fusion" not in errors
    code, output, _ = at_site("verify", str(board))
    assert code == 1 and "fusion mine is from the file mine.py" in output
    model = next(Path("runs/single").rglob("plugins.json")).parent
    with pytest.raises(PluginDiffers, match=r"--plugin mine\.py"):
        load_model(model, load(), torch.device("cpu"))


def forget_contents() -> None:
    _sha256.cache_clear()


# a new plugin, a new study


def asked_for(plugins: Plugins, *fusions: str, **changes: object) -> SearchRequest:
    return replace(request(plugins, fusions=fusions), **changes)


def test_only_plugins_that_take_part_make_another_study(site: Site) -> None:
    names = [study_name(asked_for(load(), "concat"), "1", load())]
    site.install("good", fusion("good"))
    assert study_name(asked_for(load(), "concat"), "1", load()) == names[0]
    names.append(study_name(asked_for(load(), "concat", "good"), "1", load()))
    site.folder.joinpath("good.py").write_text(fusion("good", about="Edited."))
    forget_contents()
    names.append(study_name(asked_for(load(), "concat", "good"), "1", load()))
    (info,) = site.folder.glob("*.dist-info")
    info.rename(site.folder / "good-1.1.dist-info")
    (site.folder / "good-1.1.dist-info/METADATA").write_text("Name: good\nVersion: 1.1\n")
    names.append(study_name(asked_for(load(), "concat", "good"), "1", load()))
    assert len(set(names)) == 4


@pytest.fixture
def before(site: Site, tmp_path: Path) -> tuple[Plugins, optuna.Study, Places]:
    """Plugins, and a study with concat and the plugin's fusion that has spent its budget."""
    site.install("good", fusion("good"))
    plugins, places = load(), Places(tmp_path / "runs", tmp_path / "boards")
    asked = asked_for(plugins, "concat", "good")
    name = name_of(asked, plugins)
    url = places.storage_url(name)
    study = create_or_continue(name, asked, open_storage(url), plugins)
    work(name, url, Budget(trials=8), plugins)
    return plugins, study, places


def opened(asked: SearchRequest, plugins: Plugins, places: Places) -> tuple[optuna.Study, object]:
    name = name_of(asked, plugins)
    found = inheritance(earlier_studies(places, name, "synergy"), asked, plugins)
    url = places.storage_url(name)
    if found:
        unfinished = open_study(name, asked, open_storage(url))
        take_over(unfinished, found)
        take_over(unfinished, found)  # cut off and done again: nothing is there twice
    known = found.specs if found else ()
    study = create_or_continue(name, asked, open_storage(url), plugins, known)
    return study, found


def test_a_new_plugin_starts_a_study_from_the_trials_of_the_old_one(
    site: Site,
    before: tuple[Plugins, optuna.Study, Places],
) -> None:
    _, old, places = before
    site.install("newer", fusion("newer"))
    plugins = load()
    asked = asked_for(plugins, "concat", "good", "newer")
    study, found = opened(asked, plugins, places)
    ended = [a for a in attempted(old) if a.state in ("finished", "pruned")]
    assert f"{len(ended)} trials of {old.study_name} are taken over" in str(found)
    taken = [a for a in attempted(study) if a.taken_over]
    assert [a.record for a in taken] == [a.record for a in ended]
    assert [a.reference for a in taken].count(True) == 3
    waiting = [t for t in study.trials if not t.state.is_finished()]
    assert [t.system_attrs["fixed_params"]["fusion"] for t in waiting] == ["newer"]
    assert snapshot(study).done == 0 and snapshot(study).best is not None

    ends = work(study.study_name, places.storage_url(study.study_name), Budget(trials=12), plugins)
    assert sum(ends.values()) == 12 and not ends["failed"], "taken over trials cost no budget"
    fusions = {a.spec.fusion.name for a in attempted(study) if not a.taken_over}
    assert "newer" in fusions and not {"majority", "only"} & fusions


def test_a_search_killed_while_it_takes_over_an_earlier_one_loses_nothing(
    site: Site, before: tuple[Plugins, optuna.Study, Places], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, places = before
    site.install("newer", fusion("newer"))
    plugins = load()
    asked = asked_for(plugins, "concat", "good", "newer")
    name = name_of(asked, plugins)
    campaign: Any = SimpleNamespace(
        request=asked, plugins=plugins, name=name, places=places,
        listener=SimpleNamespace(note=lambda _: None),
    )  # fmt: skip
    whole, append, written = content(prepare(campaign)), JournalFileBackend.append_logs, 0

    def cut_off(self: Any, logs: Any) -> None:
        nonlocal written
        written += 1
        if written > last:
            raise KeyboardInterrupt
        append(self, logs)

    assert len(whole) > 8
    for last in range(1, len(whole) + 3):
        shutil.rmtree(places.study(name))
        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr(JournalFileBackend, "append_logs", cut_off)
            written = 0
            prepare(campaign)
        assert content(prepare(campaign)) == whole, f"cut off after {last} writes"


def test_another_version_of_mmbench_starts_anew_and_says_so(
    before: tuple[Plugins, optuna.Study, Places], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins, old, places = before
    asked, notes = asked_for(plugins, "concat", "good"), []
    monkeypatch.setattr("mmbench.search.request._mmbench", lambda: "99.0")
    campaign: Any = SimpleNamespace(
        request=asked, plugins=plugins, name=name_of(asked, plugins), places=places,
        listener=SimpleNamespace(note=notes.append),
    )  # fmt: skip
    assert campaign.name != old.study_name
    study = prepare(campaign)
    assert not attempted(study) and sum(FIXED_SPEC in t.user_attrs for t in study.trials) == 3
    assert [note.split(" had ")[0] for note in notes] == [old.study_name]
    assert "another version of mmbench" in notes[0]
    prepare(campaign)
    assert len(notes) == 1, "it is said once"
    campaign.request = replace(asked, seed=1)
    campaign.name = name_of(campaign.request, plugins)
    prepare(campaign)
    assert len(notes) == 1, "nobody has asked that before"


def test_what_a_narrower_search_could_not_propose_is_left_out(
    before: tuple[Plugins, optuna.Study, Places],
) -> None:
    plugins, old, _ = before
    found = inheritance([old], asked_for(plugins, "concat"), plugins)
    assert found is not None
    ended = [a for a in attempted(old) if a.state in ("finished", "pruned")]
    good = [a for a in ended if a.spec is not None and a.spec.fusion.name == "good"]
    assert good and (found.left_out, len(found.trials)) == (len(good), len(ended) - len(good))


def content(study: optuna.Study) -> list[tuple[Any, Any]]:
    """What has been taken over, and what waits."""
    return [
        (t.user_attrs.get(TAKEN_OVER), t.system_attrs.get("fixed_params")) for t in study.trials
    ]


def test_trials_of_another_version_or_question_are_left_out(
    site: Site,
    before: tuple[Plugins, optuna.Study, Places],
) -> None:
    _, old, places = before
    site.folder.joinpath("good.py").write_text(fusion("good", about="Edited."))
    forget_contents()
    plugins = load()
    asked = asked_for(plugins, "concat", "good")
    study, found = opened(asked, plugins, places)
    own = [a for a in attempted(old) if a.spec.fusion.name == "good"]
    assert own and found.left_out == len(own) and "do not fit any more" in str(found)
    assert {
        t.user_attrs[TAKEN_OVER]["study"] for t in study.trials if TAKEN_OVER in t.user_attrs
    } == {old.study_name}
    only = asked_for(plugins, "concat")
    _, found = opened(only, plugins, places)
    assert found is not None and all(
        "good" not in str(trial.user_attrs["spec"]) for trial in found.trials
    )
    for other in (replace(only, seed=1), replace(only, train={"max_epochs": 3})):
        assert inheritance(earlier_studies(places, "x", "synergy"), other, plugins) is None


def test_earlier_studies_of_a_shared_storage_and_damaged_ones(tmp_path: Path) -> None:
    url = str(tmp_path / "all.journal")
    for name in ("synergy-1", "synergy-2", "vqa-1"):
        optuna.create_study(study_name=name, storage=open_storage(url))
    shared = Places(tmp_path, tmp_path, url)
    assert [s.study_name for s in earlier_studies(shared, "synergy-3", "synergy")] == [
        "synergy-2",
        "synergy-1",
    ]
    runs = tmp_path / "runs"
    for age, name in enumerate(("synergy-a", "synergy-own", "vqa-a", "synergy-c", "synergy-b")):
        (runs / name).mkdir(parents=True)
        journal = runs / name / "study.journal"
        optuna.create_study(study_name=name, storage=open_storage(str(journal)))
        os.utime(journal, (-age, -age))
    found = earlier_studies(Places(runs, tmp_path), "synergy-own", "synergy")
    assert [s.study_name for s in found] == ["synergy-a", "synergy-c", "synergy-b"]
    folder = tmp_path / "synergy-4"
    folder.mkdir()
    (folder / "study.journal").write_text("no journal\n")
    assert not list(earlier_studies(Places(tmp_path, tmp_path), "synergy-5", "synergy"))
    assert not departures([], Plugins())
