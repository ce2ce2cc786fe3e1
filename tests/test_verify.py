"""Rows that can be trusted: published, verified, compared; and what a forged one says."""

import json
import lzma
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from small_finals import concluded, cost_document, trained

from mmbench.campaign.concluding import best_single
from mmbench.cli import main as cli
from mmbench.datasets.synthetic import Redundant
from mmbench.errors import DataUnavailable
from mmbench.evaluation.estimates import Interval
from mmbench.evaluation.mcnemar import mcnemar, mid_p
from mmbench.evaluation.predictions import Wanted, read_predictions, storable, write_predictions
from mmbench.leaderboard.checked import Checked
from mmbench.leaderboard.coherent import Board, of_itself, with_its_study
from mmbench.leaderboard.diagnoses import predictions_file
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.row_files import read_row, read_rows, write_row
from mmbench.leaderboard.studied import check_search
from mmbench.leaderboard.verify import verify
from mmbench.plugins import load_plugins
from mmbench.spec import Component, TrialSpec, digest, train_spec
from mmbench.types import Task

ROOT = Path(__file__).parents[1]
SEEDS = [1000, 1001, 1002]
CLASSES = Task({}, "classification", ("a", "b"), "accuracy")


def spec_of(fusion: Component, modalities: str) -> TrialSpec:
    return TrialSpec(
        Component("synergy", {"size": 300}), {m: Component("mlp") for m in modalities}, fusion,
        Component("mlp"), train=train_spec({"max_epochs": 2}),
    )  # fmt: skip


@pytest.fixture(scope="module")
def finals(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Row], Path]:
    """Rows of the product and of a single modality, and the folder of their seeds."""
    home, plugins = tmp_path_factory.mktemp("runs") / "study" / "finals", load_plugins()
    alone = Component("only", {"modality": "a"})
    families = dict(
        trained(spec, SEEDS, plugins, home)
        for spec in (spec_of(Component("product"), "ab"), spec_of(alone, "a"))
    )
    rows = concluded(families, plugins, [("finished", 0.9), ("pruned", None), ("failed", None)])
    return rows, home


@pytest.mark.parametrize(("higher", "best"), [(True, "b"), (False, "a")])
def test_the_best_single_modality_is_the_one_that_validation_prefers(
    higher: bool, best: str
) -> None:
    def family(fusion: Component, *validation: float) -> list[Any]:
        spec = SimpleNamespace(fusion=fusion)
        return [SimpleNamespace(spec=spec, validation=score) for score in validation]

    families = [family(Component("concat"), 0.0, 1.0)]
    for name, *scores in (("a", 0.2, 0.4), ("b", 0.1, 0.6)):
        families.append(family(Component("only", {"modality": name}), *scores))
    found = best_single(families, higher_is_better=higher)
    assert found is not None and found[0].spec.fusion.params == {"modality": best}
    assert best_single(families[:1], higher_is_better=higher) is None


def test_where_there_is_one_modality_nothing_is_gained_over_it(tmp_path: Path) -> None:
    plugins = load_plugins.__wrapped__()
    plugins.datasets.add(type("Lone", (Redundant,), {"name": "lone", "modalities": ("a",)}), "x")
    specs = [
        replace(spec_of(fusion, "a"), task=Component("lone", {"size": 200}))
        for fusion in (Component("concat"), Component("only", {"modality": "a"}))
    ]
    families = dict(trained(spec, SEEDS[:1], plugins, tmp_path) for spec in specs)
    rows = concluded(families, plugins, [("finished", 0.9)])
    assert [(row.gain, row.search["single"]) for row in rows] == [(None, None)] * 2


@pytest.fixture
def board(finals: tuple[list[Row], Path], tmp_path: Path) -> Path:
    """The two rows as they stand on a board, with their predictions."""
    rows, home = finals
    for row in rows:
        write_row(tmp_path, row, next(home.glob(f"*/{predictions_file(row.id)}")).parent)
    return tmp_path


@pytest.fixture
def product(finals: tuple[list[Row], Path], board: Path) -> Path:
    return board / "synergy" / f"{finals[0][0].id}.json"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mmbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
            raise SystemExit(0)
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))


def verified(*places: Path) -> dict[str, Checked]:
    return {checked.file.name: checked for checked in verify(places, load_plugins())}


# Predictions -----------------------------------------------------------------------------------


def test_predictions_are_read_as_they_were_written_and_scored(tmp_path: Path) -> None:
    drawn = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0)) * 9
    scores = [storable(s, CLASSES).float() for s in drawn]
    path = tmp_path / "x.xz"
    sha = write_predictions(path, scores)
    assert all(torch.equal(a, b) for a, b in zip(read_predictions(path, sha), scores, strict=True))
    assert len(lzma.decompress(path.read_bytes())) < 2 * 50 * 3 * 2 + 200, "not float16"
    assert write_predictions(tmp_path / "y.xz", scores) == sha, "the same scores, the same bytes"


def test_scores_beyond_float16_stay_finite_and_a_regression_is_not_rounded(tmp_path: Path) -> None:
    scores = torch.tensor([[1e9, -1e9], [float("inf"), -float("inf")], [0.1, 70_000.0]])
    half = storable(scores, CLASSES)
    assert half.dtype == torch.float16 and half.isfinite().all()
    assert half.argmax(1).tolist() == [0, 0, 1]
    assert torch.equal(storable(scores[2:], replace(CLASSES, target="regression")), scores[2:])
    sha = write_predictions(tmp_path / "x.xz", [scores[2:]])
    assert torch.equal(read_predictions(tmp_path / "x.xz", sha)[0], scores[2:])


def test_what_is_no_file_of_predictions_is_refused(tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "x.xz"
    nonsense = (
        b"no tensors", b"", headed({"scores": {"shape": [1, -1, -1]}}), headed({"scores": 3}),
        headed({"scores": {"dtype": "F16", "shape": [1, 9, 9], "data_offsets": [0, 9]}}),
        headed([]) + b"x" * 99, (9).to_bytes(8, "little") + b"[" * 4000,
    )  # fmt: skip
    for content in (b"no archive", *map(lzma.compress, nonsense), lzma.compress(b"x" * 99)[:-9]):
        path.write_bytes(content)
        with pytest.raises(DataUnavailable, match="damaged"):
            read_predictions(path, hashlib.sha256(content).hexdigest())
    sha = write_predictions(path, [torch.zeros(3)])  # not of several outputs
    with pytest.raises(DataUnavailable, match=r"\(any, any, any\); got \(1, 3\)"):
        read_predictions(path, sha)
    path.unlink()
    with pytest.raises(DataUnavailable, match="cannot be read: No such file"):
        read_predictions(path, sha)


def headed(header: object) -> bytes:
    """A file of tensors that has this header and nothing else."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ([2, 50, 2**18], r"\(2, 50, 3\); got \(2, 50, 262144\)"),
        ([2**18, 50, 3], r"\(2, 50, 3\); got"),
        ([2, 2**22, 3], r"\(2, 50, 3\); got"),
        ([2**25], r"\(2, 50, 3\); got"),
        ([2, 50, 3], "damaged: they end too early, or hold more than"),
    ],
)
def test_a_bomb_is_not_unpacked(tmp_path: Path, shape: list[int], says: str) -> None:
    import hashlib
    import tracemalloc

    header = {"scores": {"dtype": "F16", "shape": shape, "data_offsets": [0, 2**26]}}
    packed = lzma.compress(headed(header) + bytes(2**26), preset=0)
    (tmp_path / "x.xz").write_bytes(packed)
    tracemalloc.start()
    try:
        with pytest.raises(DataUnavailable, match=says):
            read_predictions(
                tmp_path / "x.xz", hashlib.sha256(packed).hexdigest(), Wanted(2, 50, 3)
            )
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


# What a row says of itself ---------------------------------------------------------------------


def test_rows_list_all_trials_and_keep_hashes(finals: tuple[list[Row], Path]) -> None:
    row, alone = finals[0]
    assert [t["state"] for t in row.search["history"]] == ["finished", "pruned", "failed"]
    assert set(row.splits or {}) == {"train", "val", "test"}
    assert row.search["single"]["id"] == alone.id and alone.search["single"] is None
    assert row.level == "community" and not row.preview


@pytest.mark.parametrize(
    ("n", "level"),
    [(1, "preview"), (2, "preview"), (3, "community"), (4, "community"), (5, "verified")],
)
def test_the_level_goes_by_fresh_seeds(finals: tuple[list[Row], Path], n: int, level: str) -> None:
    row = replace(finals[0][0], seeds=list(range(n)))
    assert row.level == level and row.preview == (level == "preview")


# Verifying -------------------------------------------------------------------------------------


def test_an_honest_board_is_valid_and_recomputed(board: Path) -> None:
    found = verified(board)
    assert len(found) == 2
    for checked in found.values():
        assert (checked.problems, checked.notes, checked.recomputed) == ([], [], True)


FORGERIES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a better mean": (
        lambda r: r["quality"]["accuracy"].update(mean=0.99, high=0.995),
        "quality.accuracy.mean is 0.99",
    ),
    "a better seed": (
        lambda r: r["quality"]["accuracy"]["per_seed"].__setitem__(1, 1.0),
        "quality.accuracy.per_seed.1",
    ),
    "a side metric": (
        lambda r: r["quality"]["macro-f1"].update(mean=0.999),
        "quality.macro-f1.mean",
    ),
    "a narrow interval": (
        lambda r: r["quality"]["accuracy"].update(low=r["quality"]["accuracy"]["mean"]),
        "quality.accuracy.low",
    ),
    "a larger gain": (lambda r: r["gain"].update(mean=0.9, high=0.95), "gain.mean is 0.9"),
    "a faster model": (lambda r: r.update(latency_ms_p50=0.001), "latency_ms_p50 is 0.001"),
    "a smaller model": (lambda r: r.update(parameters=1), "parameters is 1"),
    "another fusion": (lambda r: r.update(fusion="gated"), "fusion is 'gated'"),
    "other settings": (
        lambda r: r["spec"]["train"].update(max_epochs=99),
        "the id of this spec is",
    ),
    "an old seed": (lambda r: r["search"].update(seed=1001), "it is not fresh"),
    "a hidden trial": (
        lambda r: r["search"]["history"].pop(),
        "search.trials is 3, but search.history lists 2",
    ),
    "a renamed end": (
        lambda r: r["search"]["history"][2].update(state="pruned"),
        "search.pruned is 1, but",
    ),
    "another split": (
        lambda r: r["splits"].update(test="0" * 64),
        "the test split of synergy is not",
    ),
    "an old version": (lambda r: r.update(task_version="0"), "at version '0'; installed is"),
    "a task that is gone": (
        lambda r: r["spec"]["task"].update(name="gone"),
        "no task named 'gone'",
    ),
    "an unknown schema": (lambda r: r.update(schema=7), "schema 7"),
    "not a number": (lambda r: r["quality"]["accuracy"].update(mean=float("nan")), "got nan"),
    "other predictions": (
        lambda r: r["predictions"].update(sha256="0" * 64),
        "not those of the row",
    ),
    "a path elsewhere": (lambda r: r["predictions"].update(file="../x"), "predictions.file is"),
    "no yardstick": (lambda r: r["search"].update(single=None), "search.single does not say"),
    "no gain": (lambda r: r.update(gain=None), "gain is null, but search.single is row"),
    "a yardstick that is none": (
        lambda r: r["search"].update(single={"id": 1}),
        "search.single is null, or the id and sha256 of a row; got {'id': 1}",
    ),
    "another target": (
        lambda r: r.update(target="regression"),
        "target is 'regression', but follows as 'classification'",
    ),
    "no number of trials": (
        lambda r: r["search"].pop("trials"),
        "search.trials is None, but search.history lists 3",
    ),
    "no budget": (
        lambda r: r["search"].update(comparison="x", trials=None),
        "search.trials is the budget of each contestant; got None",
    ),
    "trials that are none": (
        lambda r: r["search"].update(history=[1, 2]),
        "search: history.0 is an object; got 1",
    ),
    "a trial without its end": (
        lambda r: r["search"]["history"][1].pop("state"),
        "search: history.1 lacks the field state",
    ),
    "a trial far off": (
        lambda r: r["search"]["history"][1].update(number=2**62),
        "search.history lists a trial twice",
    ),
    "one validation score for three seeds": (
        lambda r: r["validation"].update(per_seed=[0.9]),
        "validation: per_seed has not one score per seed",
    ),
    "more than all right on validation": (
        lambda r: r["validation"].update(mean=1.5, per_seed=[1.5] * 3),
        "validation.per_seed holds 1.5, which is no accuracy",
    ),
    "a time of nowhere": (
        lambda r: r.update(created="2026-11-01T00:00:00"),
        "created has no offset from UTC; got '2026-11-01T00:00:00'",
    ),
    "no costs": (lambda r: r.update(cost={}), "cost lacks the field latency, memory, flops,"),
    "half a cost": (
        lambda r: r["cost"]["latency"]["batch_1"].pop("whole"),
        "cost: latency.batch_1 lacks the field whole",
    ),
    "contended, but not said": (
        lambda r: r["cost"].update(flags=[], others_cores=1.21),
        "cost.flags lacks 'contended', which follows from its own figures",
    ),
    "restless, but not said": (
        lambda r: (
            r["cost"].update(flags=[]),
            r["cost"]["latency"]["batch_32"].update(warm_up_stable=False),
        ),
        "cost.flags lacks 'unstable'",
    ),
    "remembering, but not said": (
        lambda r: (r["cost"].update(flags=[]), r["cost"]["latency"].update(repeat_ratio=0.1)),
        "cost.flags lacks 'caches'",
    ),
    "throttled, but not said": (
        lambda r: r["cost"]["hardware"].update(flags=["throttled"]),
        "cost.flags lacks 'throttled'",
    ),
    "nothing of other work": (
        lambda r: r["cost"].pop("others_cores"),
        "cost lacks the field others_cores",
    ),
    "no spec": (lambda r: r.update(spec={}), "The spec lacks task, encoders, fusion, head."),
    "a task without its settings": (
        lambda r: r["spec"].update(task="synergy"),
        "the id of this spec is",
    ),
}


def test_a_field_that_is_there_twice_is_named(board: Path) -> None:
    """Who reviews the file may read the first; every figure is computed from the last."""
    file, other = sorted(board.rglob("*.json"))
    file.write_text(file.read_text().replace('"fusion":', '"fusion": "x", "fusion":', 1))
    found = verified(board)
    assert not found[other.name].problems
    assert found[file.name].problems == ["fusion: said twice in one object; the last holds"]


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_row_is_named_with_its_reason_and_the_rest_is_checked(
    forgery: str, board: Path, product: Path
) -> None:
    edit, reason = FORGERIES[forgery]
    change(product, edit)
    found = verified(board)
    problems = found.pop(product.name).problems
    assert [p for p in problems if reason in p] and not [p for p in problems if "Error" in p]
    assert len([p for p in problems if reason in p]) == 1, "it is said once"
    (other,) = found.values()
    assert not other.problems and other.recomputed


@pytest.mark.parametrize("name", ["log-loss", "invented"])
def test_a_metric_that_is_not_computed_again_is_noted(
    name: str, board: Path, product: Path
) -> None:
    """Of a plugin that is gone, or of nobody: the row must not pass as computed again in it."""

    def swap(row: dict[str, Any]) -> None:
        row["quality"].pop(name, None) or row["quality"].update(invented=row["quality"]["auroc"])

    change(product, swap)
    checked = verified(board)[product.name]
    assert checked.problems == []
    assert [note for note in checked.notes if note.startswith(f"{name}: in the row or installed")]


def test_changed_predictions_are_found_out(board: Path, product: Path) -> None:
    """Whoever replaces scores and hash alike still has to get every figure right."""
    row = read_row(product)
    path = product.parent / predictions_file(row.id)
    assert row.predictions is not None
    scores = read_predictions(path, row.predictions["sha256"])
    scores[0][:3] = -scores[0][:3]
    sha = write_predictions(path, scores)
    change(product, lambda r: r["predictions"].update(sha256=sha))
    problems = "; ".join(verified(product)[product.name].problems)
    assert "quality.accuracy.per_seed.0" in problems


def test_missing_predictions_are_a_fault_but_for_a_comparison(board: Path, product: Path) -> None:
    (product.parent / predictions_file(product.stem)).unlink()
    assert "predictions are missing" in verified(board)[product.name].problems[0]
    change(product, lambda r: r["search"].update(comparison="x", trials=3))
    assert "predictions are missing" in verified(board)[product.name].problems[0], "its own word"
    (board / "rows").mkdir()
    compared = board / "rows" / product.parent.name
    product.parent.rename(compared)
    checked = verified(board)[product.name]
    assert not checked.problems and not checked.recomputed
    assert "predictions are not here" in checked.notes[0]


def test_predictions_whose_row_was_deleted_are_named(call, board: Path, product: Path) -> None:
    product.unlink()
    found = verified(board)
    assert found.pop(predictions_file(product.stem)).problems[0].endswith("or delete them")
    (other,) = found.values()
    assert not other.problems
    code, said, _ = call("verify", board)
    assert code == 1 and f"INVALID  {product.parent / predictions_file(product.stem)}" in said
    code, _, _ = call("verify", other.file)
    assert code == 0, "of one row nothing else is asked"


def test_a_gain_whose_yardstick_is_gone_is_a_note(board: Path, product: Path) -> None:
    for file in product.parent.glob("*.json"):
        if file != product:
            file.unlink()
    checked = verified(board)[product.name]
    assert not checked.problems and "is not here as it was" in checked.notes[0]


def test_a_row_of_an_older_mmbench_is_valid_in_a_comparison_and_not_on_a_board(
    board: Path, product: Path
) -> None:
    def age(row: dict[str, Any]) -> None:
        for name in ("splits", "predictions"):
            del row[name]
        del row["search"]["history"], row["search"]["single"]

    change(product, age)
    problems = " ".join(verified(board)[product.name].problems)
    for lacking in ("hashes of its splits", "predictions", "list of the trials"):
        assert lacking in problems
    (board / "rows").mkdir()
    for file in product.parent.glob("*.json"):
        if file != product:
            file.unlink()
    product.parent.rename(board / "rows" / "synergy")
    checked = verified(board)[product.name]
    assert not checked.problems and len(checked.notes) == 3


def test_two_rows_of_one_id_are_named_and_the_first_is_on_the_board(
    board: Path, product: Path
) -> None:
    twin = product.parent / "synergy" / product.name
    twin.parent.mkdir()
    shutil.copy(product, twin)
    assert read_rows(product.parent)[1] == [], "a mere copy"
    change(twin, lambda r: r.update(train_seconds=1.5))
    rows, problems = read_rows(product.parent)
    assert len(rows) == 2 and len(problems) == 1
    assert (
        str(twin) in problems[0] and str(product) in problems[0] and "other content" in problems[0]
    )


@pytest.mark.parametrize("taken", [False, True])
def test_a_row_in_the_folder_of_another_task_is_named_and_left_out(
    call, board: Path, product: Path, monkeypatch: pytest.MonkeyPatch, *, taken: bool
) -> None:
    """On that board it would stop whoever writes it; moved over its like, one would be lost."""
    stray = board / "vqa" / product.name
    stray.parent.mkdir()
    (shutil.copy if taken else shutil.move)(product, stray)
    if not taken:  # with its predictions: without their row they would be named, too
        shutil.move(product.parent / predictions_file(product.stem), stray.parent)
    says = f"{product} is there, too: keep one" if taken else f"move it to {product.parent}/"
    rows, problems = read_rows(board)
    assert len(rows) == 1 + taken
    assert problems == [f"{stray} is a row of synergy; {says}."]
    code, output, _ = call("verify", board)
    assert "KeyError" not in output
    assert code == 1 and problems[0] in output and f"{1 + taken} valid" in output
    code, _, errors = call("leaderboard", "--write", "--leaderboards", board)
    assert code == 0 and problems[0] in errors
    monkeypatch.chdir(stray.parent)
    code, output, _ = call("verify", ".")
    assert code == 1 and f"{product.name} is a row of synergy" in output
    monkeypatch.chdir(product.parent)
    assert call("verify", ".")[0] == 0


def test_a_comparison_has_one_budget_for_all() -> None:
    trial = {"number": 0, "state": "finished", "value": 0.5, "fusion": "x", "seconds": 1.0}
    search = {"comparison": "c", "trials": 4}
    trials = [{**trial, "number": i} for i in range(5)]
    assert check_search({**search, "history": trials[:4]}) == ([], [])
    assert check_search({**search, "history": trials[:1]}) == ([], [])
    assert "lists 5" in check_search({**search, "history": trials})[0][0]
    assert "twice" in check_search({**search, "trials": 2, "history": [trial, trial]})[0][0]
    gap = check_search({**search, "trials": 2, "history": [trials[0], trials[2]]})
    assert gap == ([], ["trials [1] are not listed: they had not ended"])
    _, notes = check_search({**search, "trials": 2, "history": [trial, {**trial, "number": 2**62}]})
    assert notes == [
        f"trials {[*range(1, 11)]} and {2**62 - 11} more are not listed: they had not ended"
    ]


# The commands ----------------------------------------------------------------------------------


def test_verify_says_what_and_where_and_its_exit_code(call, board: Path, product: Path) -> None:
    code, output, _ = call("verify", board)
    assert code == 0 and "2 valid, 2 of them computed again" in output
    change(product, lambda r: r.update(parameters=1))
    code, output, _ = call("verify", board)
    assert code == 1 and f"INVALID  {product}" in output and "1 valid" in output
    code, output, _ = call("verify", board, "--json")
    document = {d["id"]: d for d in json.loads(output)}
    assert code == 1 and not document[product.stem]["valid"]
    product.write_text("{")
    found = json.loads(call("verify", product, "--json")[1])
    assert [(d["id"], d["valid"], d["file"]) for d in found] == [(None, False, str(product))]
    for wrong in (board / "nowhere", board.parent / "empty"):
        (board.parent / "empty").mkdir(exist_ok=True)
        code, _, errors = call("verify", wrong)
        assert code == 2 and "There is no" in errors


def test_restate_writes_intervals_that_follow_and_nothing_else(call, board, product) -> None:
    """As rows of an older mmbench need it; a mean that does not follow stays invalid."""
    before = product.read_text()
    change(product, lambda r: r["quality"]["accuracy"].update(low=0.0))
    change(product, lambda r: r["gain"].update(high=r["gain"]["high"] + 0.1))
    code, output, _ = call("verify", product)
    assert code == 1 and "only ends of intervals differ" in output and "--restate" in output
    code, output, _ = call("verify", product, "--restate")
    assert code == 0 and "computed again from its predictions" in output
    assert product.read_text() == before, "to the byte"

    change(product, lambda r: r["quality"]["accuracy"].update(low=0.0, mean=0.99))
    tampered = product.read_text()
    code, output, _ = call("verify", product, "--restate")
    assert code == 1 and "only ends" not in output and product.read_text() == tampered


def test_verify_can_train_again(call, board: Path, product: Path, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("mmbench.standalone.measure_in_fresh_process", lambda *_: cost_document())
    monkeypatch.setattr("mmbench.tracking.Tracker.log_final", lambda *_, **__: "run")
    code, output, _ = call("verify", product, "--rerun", "--json", "--out", tmp_path / "again")
    (document,) = json.loads(output)
    accuracy = f"{read_row(product).main['mean']:.4f}"
    assert code == 0
    assert f"trained again, accuracy is {accuracy}; the row has {accuracy}" in document["notes"]


@pytest.mark.parametrize("what", ["", "study", "seed", "model"])
def test_publish_takes_a_study_or_a_folder_of_it(
    call, finals: tuple[list[Row], Path], tmp_path: Path, what: str
) -> None:
    rows, home = finals
    seed = home / replace_seed(rows[0], SEEDS[1])
    run = {"": home, "study": home.parent.name, "seed": seed, "model": seed / "model"}[what]
    boards = tmp_path / "boards"
    code, _, errors = call("publish", run, "--out", home.parents[1], "--leaderboards", boards)
    assert code == 0, errors
    published = rows if what in ("", "study") else rows[:1]
    found, problems = read_rows(boards)
    assert not problems and {r.id for r in found} == {r.id for r in published}
    assert (boards / "synergy" / "README.md").exists()
    assert all(c.recomputed and not c.problems for c in verified(boards).values())


def replace_seed(row: Row, seed: int) -> str:
    return digest({**row.spec, "seed": seed})


def test_publish_replaces_no_other_figures_unasked(
    call, finals: tuple[list[Row], Path], board: Path, product: Path
) -> None:
    run = ("publish", finals[1], "--leaderboards", board)
    change(product, lambda r: r.update(hardware="another machine"))
    code, _, errors = call(*run)
    assert code == 1 and "has other figures, of another machine" in errors
    assert read_row(product).hardware == "another machine"
    assert (board / "synergy" / "README.md").exists(), "the rest is published"
    assert call(*run, "--replace")[0] == 0
    assert read_row(product) == finals[0][0]


@pytest.mark.parametrize(
    ("run", "message"), [("nothing", "There is no run 'nothing'"), ("a" * 32, "no MLflow store")]
)
def test_publish_of_nothing_is_bad_input(call, tmp_path: Path, run: str, message: str) -> None:
    code, _, errors = call("publish", run, "--out", tmp_path, "--leaderboards", tmp_path)
    assert code == 2 and message in errors


def test_diff_says_whether_it_is_more_than_noise(call, board: Path, product: Path) -> None:
    (other,) = (f for f in product.parent.glob("*.json") if f != product)
    code, output, _ = call("diff", product.stem, other.stem, "--leaderboards", board)
    assert code == 0 and "McNemar" in output and "paired test   p < 0.001" in output
    code, output, _ = call("diff", product, other, "--json")
    found = json.loads(output)
    gain = Interval(**found["difference"]["gain"])
    means = [read_row(f).main["mean"] for f in (product, other)]
    assert gain.mean == pytest.approx(means[0] - means[1]) and gain.low <= gain.mean <= gain.high
    assert set(found["mcnemar"]) == {str(seed) for seed in SEEDS}
    same = json.loads(call("diff", product, product, "--json")[1])
    assert same["difference"] == {"gain": {"mean": 0.0, "low": 0.0, "high": 0.0}, "p": 1.0}
    assert all(m["p"] == 1.0 for m in same["mcnemar"].values())


def keep_seeds(path: Path, n: int) -> None:
    """The first ``n`` predictions of a row are all that there are."""
    row = read_row(path)
    assert row.predictions is not None
    file = path.parent / row.predictions["file"]
    sha = write_predictions(file, read_predictions(file, row.predictions["sha256"])[:n])
    change(path, lambda r: r["predictions"].update(sha256=sha))


@pytest.mark.parametrize("n", [1, 3])
def test_rows_of_other_seeds_differ_by_as_much_as_a_gain(
    call, board: Path, product: Path, n: int
) -> None:
    """Nothing is paired by seed; of one seed nobody knows how far others lie."""
    (other,) = (f for f in product.parent.glob("*.json") if f != product)
    keep_seeds(other, n)

    def renumber(row: dict[str, Any]) -> None:
        row["seeds"] = [7, 8, 9][:n]
        for scores in (row["validation"], *row["quality"].values()):
            scores["per_seed"] = scores["per_seed"][:n]

    change(other, renumber)
    code, output, _ = call("diff", product, other)
    said = f"as far as one is known of {other.stem}" if n == 1 else "they share one at most"
    assert code == 0 and said in " ".join(output.split())
    found = json.loads(call("diff", product, other, "--json")[1])
    assert list(found["mcnemar"]) == ["1000 and 7", "1001 and 8", "1002 and 9"][:n]
    gain = read_row(product).gain
    assert gain is not None
    as_gain = {end: gain[end] for end in ("mean", "low", "high")}
    assert (found["difference"]["gain"] == as_gain) == (n == 3)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda r: r["splits"].update(test="0" * 64), "was scored on another test part than the"),
        (lambda r: r.update(task_version="0"), "has '0'"),
        (lambda r: r.update(metric="log-loss"), "has metric 'accuracy', {id} has 'log-loss'"),
    ],
)
def test_rows_that_do_not_compare_are_refused_with_the_reason(
    call, board: Path, product: Path, edit: Callable[[dict[str, Any]], object], says: str
) -> None:
    (other,) = (f for f in product.parent.glob("*.json") if f != product)
    change(product, edit)
    code, _, errors = call("diff", other, product)
    assert code == 2 and says.format(id=product.stem) in errors


def test_predictions_of_other_seeds_than_the_row_has_are_refused(
    call, board: Path, product: Path
) -> None:
    (other,) = (f for f in product.parent.glob("*.json") if f != product)
    keep_seeds(product, 2)
    code, _, errors = call("diff", other, product)
    assert code == 2 and f"{product.stem}.predictions" in errors
    says = "of the row and the test part (3, 300, 2); got (2, 300, 2)."
    assert says in errors
    assert says in verified(product)[product.name].problems[0]


def test_an_unknown_row_is_named_with_its_nearest_and_one_of_many_is_asked_for(
    call, board: Path, product: Path
) -> None:
    """Not with every id of every board: there may be thousands."""
    (other,) = (f for f in product.parent.glob("*.json") if f != product)
    typo = f"{product.stem[:-1]}x"
    code, _, errors = call("diff", typo, other, "--leaderboards", board)
    assert code == 2 and f"'{typo}' names no rows" in errors
    assert f"Did you mean '{product.stem}'?" in errors and other.stem not in errors
    for i in range(20):
        (board / "synergy" / f"abcdef0000{i:02}.json").touch()
    code, _, errors = call("diff", "abcdef", other, "--leaderboards", board)
    assert code == 2 and "'abcdef' names 20 rows" in errors and "and 12 more" in errors
    assert "synergy/abcdef000007" in errors and "abcdef000008" not in errors
    assert product.stem not in errors
    code, _, errors = call("diff", "*", other, "--leaderboards", board)
    assert code == 2 and "'*' names no rows" in errors, "a name is no pattern"


def test_diff_needs_predictions_and_one_task(call, board: Path, product: Path) -> None:
    old = ROOT / "leaderboards"
    code, _, errors = call("diff", product, next((old / "vqa").glob("*.json")))
    assert code == 2 and "one task" in errors
    change(product, lambda r: r.update(predictions=None))
    code, _, errors = call("diff", product, product)
    assert code == 2 and "has no predictions" in errors
    change(product, lambda r: r.update(spec={}))
    code, _, errors = call("diff", product, product)
    assert code == 2 and f"Row {product.stem} does not say what it was made on" in errors
    assert "The spec lacks task" in errors


# McNemar ---------------------------------------------------------------------------------------


def test_mid_p_against_a_sum_over_all_outcomes() -> None:
    from math import comb

    for b, c in [(0, 1), (1, 7), (3, 9), (10, 2), (30, 41)]:
        n = b + c
        chances = [comb(n, k) / 2**n for k in range(n + 1)]
        as_far = sum(p for k, p in enumerate(chances) if abs(k - n / 2) > abs(b - n / 2))
        # half of what is as far off as what was seen, all of what is farther
        assert mid_p(b, c) == pytest.approx(as_far + chances[b]), (b, c)
    assert mid_p(0, 0) == 1.0
    assert mid_p(4, 4) == pytest.approx(1 - comb(8, 4) / 2**9)


def test_mcnemar_counts_the_rows_that_only_one_gets_right() -> None:
    target = torch.tensor([0, 0, 1, 1, 1])
    one, other = (torch.eye(2)[torch.tensor(c)] for c in ([0, 0, 1, 0, 1], [0, 1, 0, 1, 0]))
    found = mcnemar(one, other, target)
    assert (found.only_one, found.only_other) == (3, 1)
    assert found.p == pytest.approx(mid_p(1, 3))


ROOT = Path(__file__).parents[1]
COMMITTED = ROOT / "leaderboards" / "av-digits"
INCOHERENT: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "slower at most than half the time": (lambda r: r.update(latency_ms_p90=1e9), "do not rise"),
    "a batch faster at most than half the time": (
        lambda r: r["cost"]["latency"]["batch_32"]["head"].update(ms_p95=0.0),
        "latency.batch_32.head does not rise from p50 to p99",
    ),
    "a whole smaller than its parts": (
        lambda r: r["cost"]["memory"]["parameters_encoders"].update(image=10**9),
        "more parameters than the whole",
    ),
    "seeds that did well": (
        lambda r: r.update(seeds=[*r["seeds"][:-1], 1999]),
        "1999]; after a search of seed 0 they are [1000, 1001, 1002, 1003, 1004]",
    ),
    "modalities mixed up": (
        lambda r: r["contribution"]["shapley"].update(
            image=r["contribution"]["shapley"]["speech"],
            speech=r["contribution"]["shapley"]["image"],
        ),
        "Shapley values of image and speech do not follow from the subsets",
    ),
    "an environment that says nothing": (
        lambda r: r.update(environment={"hardware": r["cost"]["hardware"]}),
        "environment does not say python and platform and packages",
    ),
    "another machine": (
        lambda r: r["environment"].update(hardware={}),
        "environment.hardware is not the hardware of cost",
    ),
    "from the future": (lambda r: r.update(created="2999-01-01T00:00:00+00:00"), "in the future"),
    "another clean score": (lambda r: r["robustness"].update(clean=0.5), "not with clean"),
    "a corruption that costs nothing at first": (
        lambda r: r["robustness"]["corrupted"]["speech"]["dropped"].__setitem__(0, 0.99),
        "robustness of speech/dropped begins with 0.99, not with clean",
    ),
    "a larger area": (lambda r: r["robustness"]["area"].update(all=0.99), "robustness.area of all"),
    "a smaller corruption": (
        lambda r: r["robustness"]["corrupted"]["speech"]["dropped"].__setitem__(5, 0.9),
        "robustness.area of speech/dropped",
    ),
    "a larger share": (lambda r: r["contribution"]["shapley"].update(image=0.9), "Shapley"),
    "a larger share, named in another order": (
        lambda r: r["contribution"].update(shapley={"speech": 0.9, "image": 0.1}),
        "Shapley values of speech and image do not follow",
    ),
    "no seed": (lambda r: r["search"].pop("seed"), "search.seed is missing"),
    "a share of all that a part has not": (
        lambda r: (
            r["contribution"]["subsets"].pop("image"),
            r["contribution"]["shapley"].update(image=0.9),
        ),
        "Shapley values do not sum to what all modalities bring",
    ),
    "a modality that draws all gradients and more": (
        lambda r: r["contribution"]["gradient_share"].update(image=1.01),
        "gradient shares are not shares",
    ),
    "another trial": (lambda r: r["search"].update(trial=CONSTANT), "search.trial is of majority"),
    "a shorter history": (lambda r: r["search"]["history"].pop(), "search.history is not that"),
    "a weaker yardstick": (lambda r: r["search"]["single"].update(id=MAJORITY), "no single modal"),
    "a weaker modality alone": (
        lambda r: r["search"]["single"].update(id=WEAKER),
        "but validation prefers another single modality",
    ),
    "no yardstick": (lambda r: (r.update(gain=None), r["search"].update(single=None)), "gain is m"),
    "a yardstick from nowhere": (
        lambda r: r["search"]["single"].update(id="0" * 12),
        "which is no row of its board",
    ),
    "a larger gain": (lambda r: r["gain"].update(mean=0.9), "gain.mean is 0.9"),
}
BOARD, _ = read_rows(COMMITTED)
FUSED = next(row for row in BOARD if row.gain and row.robustness and row.search.get("trial"))
MAJORITY = next(row.id for row in BOARD if row.fusion == "majority")
WEAKER = next(row.id for row in BOARD if row.fusion == "only-image")
CONSTANT = next(t["number"] for t in FUSED.search["history"] if t["fusion"] == "majority")


@pytest.mark.parametrize("forgery", INCOHERENT)
def test_a_row_that_contradicts_itself_or_its_study_is_named(forgery: str) -> None:
    """Without data or predictions: of two figures that say the same, one was changed."""
    edit, reason = INCOHERENT[forgery]
    forged = FUSED.to_dict()
    edit(forged)
    row = Row(**forged)
    board = Board([row, *(other for other in BOARD if other.id != row.id)])
    assert not [*of_itself(FUSED), *with_its_study(FUSED, Board(BOARD))]
    assert [p for p in [*of_itself(row), *with_its_study(row, board)] if reason in p]
