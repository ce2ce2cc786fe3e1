"""What leaks is found: rows in two parts, and scores that do not need the labels."""

import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from mmbench import sanity
from mmbench.cli import main as cli
from mmbench.contracts import Dataset
from mmbench.datasets.synthetic import Synergy
from mmbench.errors import Leak
from mmbench.features import FeatureCache
from mmbench.parts import PARTS, check_parts, overlaps, row_digests, split_digest
from mmbench.plugins import Plugins, load_plugins
from mmbench.resolve import resolve
from mmbench.spec import Component, TrialSpec, train_spec
from mmbench.testing import check_dataset
from mmbench.trial import Workbench, run_trial, train_trial
from mmbench.types import MISSING, Column, Part, Split

SMALL = ("--set", "task.size=400", "--set", "train.max_epochs=3")


class Leaking(Synergy):
    """Half of test are rows of training, under other sources and with the same label."""

    name = "leaking"

    def load(self, part: Part) -> Split:
        split = super().load(part)
        if part != "test":
            return split
        train, half = super().load("train"), len(split) // 2
        columns = {
            m: Column(torch.cat([train.columns[m].values[:half], c.values[half:]]))
            for m, c in split.columns.items()
        }
        target = torch.cat([train.target[:half], split.target[half:]])
        return Split(columns, target, source=split.source)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Plugins:
    """All there is, and the leaking data set."""
    own = load_plugins.__wrapped__()
    own.datasets.add(Leaking, "test")
    monkeypatch.setattr("mmbench.plugins.load_plugins", lambda: own)
    return own


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], plugins: Plugins
) -> Callable:
    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["mmbench", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
            raise SystemExit(0)
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out + said.err

    return run


def parts_of(dataset: Dataset) -> dict[Part, Split]:
    return {part: dataset.load(part) for part in PARTS}


def test_hygiene_finds_the_leak_and_only_that(call) -> None:
    code, output = call("hygiene", "--task", "synergy")
    assert code == 0 and output.count("share nothing") == 3
    code, output = call("hygiene", "--task", "leaking", "--set", "task.size=400")
    assert code == 1
    assert "train and test share 200 equal row(s), such as row 0 of test" in output
    assert output.count("share nothing") == 2
    code, output = call("hygiene", "--task", "leeking")
    assert code == 2 and "Did you mean 'leaking'" in output


def test_what_leaks_is_refused_before_it_is_trained_and_by_the_kit(plugins: Plugins) -> None:
    with pytest.raises(AssertionError, match="200 equal row"):
        check_dataset(Leaking(size=400))
    bench = Workbench(torch.device("cpu"))
    task = Component("leaking", {"size": 400})
    encoders = {m: Component("mlp") for m in "ab"}
    spec = TrialSpec(task, encoders, Component("concat"), Component("mlp"))
    with pytest.raises(Leak, match="train and test share 200 equal row"):
        run_trial(spec, plugins, bench, lambda *_: pytest.fail("it was trained"))


CHANGED: dict[str, Callable[[Split], object]] = {
    "is None, not a Split": lambda split: None,
    "lacks the column b, which its task names": lambda split: replace(
        split, columns={"a": split.columns["a"]}
    ),
    "has the column c; its task has the modalities a, b": lambda split: split.with_column(
        "c", split.columns["a"]
    ),
    "has a Tensor for 'a', not a Column": lambda split: split.with_column(
        "a", split.columns["a"].values
    ),
    "has 399 targets and 400 rows of 'a'": lambda split: replace(split, target=split.target[:-1]),
    "has a list as its target, not a tensor": lambda split: replace(
        split, target=split.target.tolist()
    ),
    "has a target of the shape (400, 1); for classification it is (rows)": lambda split: replace(
        split, target=split.target.unsqueeze(1)
    ),
    "has classes 0 to 2; its task has 0 to 1": lambda split: replace(
        split, target=split.target * 2
    ),
}


@pytest.mark.parametrize("says", CHANGED)
@pytest.mark.parametrize("command", ["run", "hygiene"])
def test_a_part_that_is_not_what_its_task_says_is_refused_in_words(
    call, monkeypatch: pytest.MonkeyPatch, command: str, says: str
) -> None:
    load = Synergy.load
    monkeypatch.setattr(Leaking, "load", lambda self, part: CHANGED[says](load(self, part)))
    spec = ("--fusion", "concat", "--encoder", "mlp") if command == "run" else ()
    code, said = call(command, "--task", "leaking", "--set", "task.size=400", *spec)
    assert code == 2 and "Traceback" not in said
    assert f"The part train of leaking {says}" in said and "mmbench plugins check leaking" in said


def test_the_search_does_not_look_for_leaks_into_test(plugins: Plugins, tmp_path) -> None:
    bench = Workbench(torch.device("cpu"), FeatureCache(tmp_path))
    spec = TrialSpec(
        Component("leaking", {"size": 400}), {m: Component("mlp") for m in "ab"},
        Component("concat"), Component("mlp"), train=train_spec({"max_epochs": 1}),
    )  # fmt: skip
    train_trial(spec, plugins, bench)
    assert {part for _, part in bench.loaded} == {"train", "val"}


def test_a_shared_source_is_a_leak_even_where_values_differ() -> None:
    parts = parts_of(Synergy(size=40))
    parts["val"] = replace(parts["val"], source=parts["train"].source[:10])
    with pytest.raises(Leak, match=r"train and val share 10 source\(s\), such as 0"):
        check_parts(parts, "x")


def test_whole_rows_count_not_single_values() -> None:
    words = Column(("red", "blue"), torch.tensor([0, 1, 1]))
    image = torch.arange(6.0).view(3, 2)
    one = Split({"image": Column(image), "text": words}, torch.zeros(3).long())
    other = Split({"image": Column(image + 9), "text": words}, torch.zeros(3).long())
    assert not any(overlaps({"train": one, "val": other}))
    mixed = Split({"image": Column(image.roll(1, 0)), "text": words}, torch.zeros(3).long())
    (found,) = overlaps({"train": one, "val": mixed})
    assert found.rows == [2], "only the row whose word stayed the same: image 1 with blue"


def test_rows_without_any_value_are_not_equal() -> None:
    text = Column(("red",), torch.tensor([MISSING, 0, MISSING, 0]))
    more = Column(("red",), torch.tensor([MISSING, MISSING, 0, 0]))
    split = Split({"text": text, "more": more}, torch.zeros(4).long())
    first, *others = row_digests(split)
    assert first == b"" and len({first, *others}) == 4
    (found,) = overlaps({"train": split, "val": split})
    assert found.rows == [1, 2, 3], "a row with a gap may recur as well"


def test_the_hash_of_a_split_tells_labels_order_and_sources() -> None:
    split = Synergy(size=40).load("test")
    assert split_digest(split) == split_digest(Synergy(size=40).load("test"))
    others = [
        replace(split, target=1 - split.target),
        replace(split, target=split.target.flip(0)),
        replace(split, source=split.source + 1),
        replace(split, source=None),
    ]
    assert len({split_digest(s) for s in [split, *others]}) == 5


def test_permuted_labels_fall_to_chance(call) -> None:
    code, output = call("sanity", "--task", "synergy", "--fusion", "product", *SMALL)
    assert code == 0 and output.count("at chance") == 2


def test_what_is_learnt_without_training_labels_is_found(call, monkeypatch) -> None:
    """With its labels left in place, training rises above chance: the check must say so."""
    monkeypatch.setattr(sanity, "permuted", lambda train, seed: train)
    code, output = call("sanity", "--task", "synergy", "--fusion", "product", *SMALL)
    assert code == 1 and output.count("ABOVE CHANCE") == 2


def test_what_encoders_learn_of_permuted_labels_is_of_those_labels(plugins: Plugins) -> None:
    """Trees that were grown on the true labels would tell them."""
    spec = TrialSpec(
        Component("films"), {"table": Component("boosted-trees")},
        Component("only", {"modality": "table"}), Component("linear"),
    )  # fmt: skip
    bench, resolved = Workbench(torch.device("cpu")), resolve(spec, plugins)
    train = bench.load(resolved, "train").rows(torch.arange(300))
    true = bench.learnt.fitted(resolved, train)
    assert bench.learnt.fitted(resolved, train)["table"] is true["table"]
    dealt = bench.learnt.fitted(resolved, sanity.permuted(train, 0))
    assert dealt["table"] != true["table"]
    assert bench.learnt.fitted(resolved, train)["table"] == true["table"]


def test_permuting_keeps_the_labels_and_moves_them() -> None:
    train = Synergy(size=400).load("train")
    one, again, other = (sanity.permuted(train, seed).target for seed in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert torch.equal(one.sort().values, train.target.sort().values)
    assert 0.4 < (one == train.target).float().mean() < 0.6


def test_chance_is_the_larger_share_and_for_f1_that_of_guessing() -> None:
    own = load_plugins()
    task = Synergy(size=40).task
    target = torch.tensor([0] * 700 + [1] * 300)
    split = Split({}, target)
    guesses = torch.eye(2)[torch.randint(2, (1000,), generator=torch.Generator().manual_seed(0))]
    accuracy = sanity.chance_level([guesses], split, task, own.metrics["accuracy"]())
    assert accuracy == 0.7
    f1 = sanity.chance_level([guesses], split, task, own.metrics["macro-f1"]())
    assert f1 == pytest.approx(0.48, abs=0.03), "always 0 has 0.41"
