"""Robustness as a whole: rows rearranged, curves and areas, a seed's document, the board."""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from scipy import stats
from test_leaderboard import make_row
from torch import Tensor
from torch.nn.functional import one_hot

from mmbench import diagnosing
from mmbench.campaign import finishing
from mmbench.campaign.places import Crew
from mmbench.contracts import Encoder
from mmbench.errors import SearchFailed, TrainingDiverged
from mmbench.evaluation.resampling import with_resamples
from mmbench.evaluation.robustness.document import areas, over_seeds, robustness
from mmbench.evaluation.robustness.numbers import TABULAR
from mmbench.evaluation.robustness.rows import (
    MISSING_SHARES,
    conflicting,
    missing,
    opposed,
    shuffled,
)
from mmbench.evaluation.robustness.subject import Subject
from mmbench.features import FeatureCache
from mmbench.final import evaluate_family, evaluate_seed, load_seed
from mmbench.leaderboard.diagnoses import Robustness
from mmbench.leaderboard.rank import rank
from mmbench.leaderboard.render import markdown
from mmbench.leaderboard.robustness_table import concat_rows, relative
from mmbench.metrics.classification import Accuracy, MacroF1
from mmbench.parts import PARTS
from mmbench.plugins import Plugins, load_plugins
from mmbench.resolve import Resolved, resolve_dataset
from mmbench.shape import read_as
from mmbench.spec import Component, TrainSpec, TrialSpec
from mmbench.trial import Workbench
from mmbench.types import MISSING, Column, Encoded, Part, Split, Task, Values


def stream(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def values_of(column: Column) -> list[float]:
    """What each row has; NaN where it misses."""
    padded = torch.cat([column.values, torch.tensor([torch.nan])])  # MISSING is -1: the last
    index = torch.arange(len(column)) if column.index is None else column.index
    return padded[index].tolist()


COLUMNS = [
    pytest.param(Column(torch.arange(40.0)), id="a value each"),
    pytest.param(Column(torch.arange(10.0), torch.arange(40) % 10), id="values shared"),
    pytest.param(Column(torch.arange(40.0), torch.arange(40).flip(0)), id="another order"),
]


# ---- rows


@pytest.mark.parametrize("column", COLUMNS)
def test_a_share_of_the_rows_goes_missing_and_more_with_a_higher_share(column: Column) -> None:
    before = values_of(column)
    lost: set[int] = set()
    for share in MISSING_SHARES:
        after = missing(column, share, stream())
        gone = {i for i, x in enumerate(values_of(after)) if x != x}
        assert len(gone) == round(share * 40) and lost <= gone
        kept = set(range(40)) - gone
        assert all(values_of(after)[i] == before[i] for i in kept)
        lost = gone
    assert values_of(column) == before and after.index is not None
    assert (after.index == MISSING).all()


def gaps() -> Column:
    """Every other row has a value: its own number."""
    return Column(torch.arange(40.0), torch.where(torch.arange(40) % 2 == 0, torch.arange(40), -1))


def test_a_share_is_of_the_rows_that_have_a_value() -> None:
    for share in MISSING_SHARES:
        index = missing(gaps(), share, stream()).value_of_row
        assert (index != MISSING).sum() == 20 - round(share * 20)


def test_rows_without_a_value_keep_none_and_give_none() -> None:
    classes, before = torch.arange(40) // 2 % 2, gaps().value_of_row
    for after in (
        shuffled(gaps(), stream()).value_of_row,
        conflicting(gaps(), classes, stream()).value_of_row,
    ):
        assert torch.equal(after == MISSING, before == MISSING)
        assert (after[::2] != before[::2]).all()
    alone = conflicting(gaps(), torch.arange(40) % 2, stream())
    assert torch.equal(alone.value_of_row, before), "no row of the other class has a value"


@pytest.mark.parametrize("column", COLUMNS)
def test_shuffling_gives_every_row_the_value_of_another(column: Column) -> None:
    before = values_of(column)
    after = values_of(shuffled(column, stream()))
    assert sorted(after) == sorted(before) and values_of(column) == before
    if len(column.values) == len(column):
        assert all(a != b for a, b in zip(after, before, strict=True))
    assert after == values_of(shuffled(column, stream()))


@pytest.mark.parametrize("column", COLUMNS)
def test_a_conflicting_value_comes_from_another_class(column: Column) -> None:
    classes = torch.randint(3, (40,), generator=stream(1))
    rows = Column(torch.arange(40.0))  # says which row the value is from
    donors = [int(x) for x in values_of(conflicting(rows, classes, stream()))]
    assert all(classes[donor] != own for donor, own in zip(donors, classes, strict=True))
    assert len(set(donors)) > 10
    before = values_of(column)
    assert values_of(conflicting(column, classes, stream())) == [before[d] for d in donors]
    assert values_of(column) == before


def test_what_contradicts_what_depends_on_the_target() -> None:
    assert opposed(torch.tensor([5, 5, 9]), "classification").tolist() == [0, 0, 1]
    labels = torch.tensor([[1, 0], [0, 1], [1, 0], [1, 1]])
    groups = opposed(labels, "multilabel")
    assert groups[0] == groups[2] and len(groups.unique()) == 3
    assert opposed(torch.tensor([0.1, 5.0, 0.2, 7.0]), "regression").tolist() == [0, 1, 0, 1]


# ---- one model


class Plain(Encoder):
    """The numbers themselves; remembers how many values it was given at once."""

    name = "plain"
    accepts = "tabular"

    def __init__(self) -> None:
        super().__init__({})
        self.out_dim, self.seen = 2, []

    def prepare(self, values: Values) -> Values:
        assert isinstance(values, Tensor)
        self.seen.append(values.clone())
        return values

    def forward(self, inputs: Tensor) -> Encoded:
        return Encoded.vector(inputs)


TASK = Task({"a": "tabular", "b": "tabular"}, "classification", ("0", "1"), "accuracy")


def rows() -> Split:
    """40 rows; ``a`` says the class by its sign, ``b`` has four values that rows share."""
    target = torch.arange(40) % 2
    a = torch.randn(40, 2, generator=stream(1)).abs() * (2 * target - 1).unsqueeze(1)
    b = torch.randn(4, 2, generator=stream(2))
    return Split({"a": Column(a), "b": Column(b, torch.arange(40) % 4)}, target)


def reads_only_a(split: Split) -> float:
    """The accuracy of the sign of ``a``; a row that misses it is said to be of class 1."""
    column = split.columns["a"]
    assert isinstance(column.values, Encoded)
    said = (column.spread(column.values).pooled.sum(1) >= 0).long()
    return (said == split.target).float().mean().item()


def test_a_model_that_ignores_a_modality_is_flat_under_its_disturbance() -> None:
    encoders = {"a": Plain(), "b": Plain()}
    found = robustness(rows(), TASK, encoders, reads_only_a, 0)
    read_as(Robustness, json.dumps(found), "the document")
    assert found["rows"] == 40 and found["clean"] == 1.0
    assert found["shuffled"]["b"] == found["conflict"]["b"] == found["missing"]["b"] == 1.0
    assert all(curve == [1.0] * 6 for curve in found["corrupted"]["b"].values())
    assert found["conflict"]["a"] == 0.0, "the other class, always"
    assert found["missing"]["a"] == 0.5 and 0.2 < found["shuffled"]["a"] < 0.8
    assert found["missing_share"]["a"] == [
        [share, pytest.approx(1 - share / 2, abs=0.15)] for share in MISSING_SHARES
    ]
    assert found["missing_share"]["a"][-1][1] == found["missing"]["a"]
    assert found["corrupted"]["a"]["gaussian"][0] == 1.0 > found["corrupted"]["a"]["gaussian"][5]
    assert found == robustness(rows(), TASK, {"a": Plain(), "b": Plain()}, reads_only_a, 0)
    assert found != robustness(rows(), TASK, {"a": Plain(), "b": Plain()}, reads_only_a, 1)


def test_a_modality_that_is_not_read_costs_nothing() -> None:
    calls: list[int] = []

    def score(split: Split) -> float:
        calls.append(len(split))
        return reads_only_a(split)

    both = robustness(rows(), TASK, {"a": Plain(), "b": Plain()}, reads_only_a, 0)
    assert robustness(rows(), TASK, {"a": Plain()}, score, 0) == both
    # clean; missing; shares; three noises; shuffled; conflict: all of ``a`` alone
    assert len(calls) == 1 + 1 + 6 + 3 * 5 + 1 + 1


def test_a_shared_value_is_disturbed_once() -> None:
    split, encoder = rows(), Plain()
    before = split.columns["b"].values.clone()
    seen: list[Encoded] = []

    def score(found: Split) -> float:
        column = found.columns["b"]
        seen.append(column.spread(column.values))  # type: ignore[arg-type]
        return 0.5

    subject = Subject(split, {"b": encoder}, score, 0)
    subject.corrupted("b", TABULAR[0], 5)
    assert [len(values) for values in encoder.seen] == [4, 4]
    assert torch.equal(split.columns["b"].values, before)
    clean, noisy = (encoded.pooled for encoded in seen)
    assert not torch.equal(clean, noisy)
    for row in range(4, 40):
        assert torch.equal(noisy[row], noisy[row % 4])


def test_what_the_model_cannot_cope_with_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    def needs_b(split: Split) -> float:
        index = split.columns["b"].index
        assert index is not None
        if (index == MISSING).any():
            raise TrainingDiverged("accuracy: 4 of 80 scores are NaN or infinite.")
        return reads_only_a(split)

    with caplog.at_level(logging.WARNING):
        found = robustness(rows(), TASK, {"a": Plain(), "b": Plain()}, needs_b, 0)
    assert found["missing"] == {"a": 0.5} and set(found["missing_share"]) == {"a"}
    assert set(found["corrupted"]["b"]) == {"gaussian", "dropped", "permuted"}
    assert "b/missing" not in found["area"] and "b/gaussian" in found["area"]
    assert "robustness without b missing: TrainingDiverged: accuracy: 4 of" in caplog.text


def test_every_proper_subset_of_three_modalities_goes_missing() -> None:
    split = rows()
    split = split.with_column("c", split.columns["a"])
    task = replace(TASK, modalities=dict.fromkeys("abc", "tabular"))
    found = robustness(split, task, {"a": Plain()}, reads_only_a, 0)
    assert set(found["missing"]) == {"a", "b", "c", "a+b", "a+c", "b+c"}
    assert found["missing"]["a+c"] == 0.5 and found["missing"]["b+c"] == 1.0


def test_one_class_alone_cannot_contradict_itself() -> None:
    split = rows().rows(torch.arange(0, 40, 2))
    assert robustness(split, TASK, {"a": Plain()}, reads_only_a, 0)["conflict"] == {}


def test_areas_are_means_of_curves() -> None:
    shares = {"a": [[0.0, 1.0], [0.5, 0.8], [1.0, 0.6]]}
    found = areas(shares, {"a": {"blur": [1.0, 0.5]}, "b": {}})
    assert found == pytest.approx({"a/missing": 0.8, "a/blur": 0.75, "all": 0.775})
    assert areas({}, {"a": {}}) == {}


def test_documents_are_averaged_over_what_all_have() -> None:
    one = robustness(rows(), TASK, {"a": Plain()}, reads_only_a, 0)
    two = robustness(rows(), TASK, {"a": Plain()}, reads_only_a, 1)
    del two["corrupted"]["b"]["permuted"]
    found = over_seeds([one, two])
    read_as(Robustness, json.dumps(found), "the average")
    assert found["rows"] == 40 and "permuted" not in found["corrupted"]["b"]
    curves = [document["corrupted"]["a"]["gaussian"] for document in (one, two)]
    expected = [(x + y) / 2 for x, y in zip(*curves, strict=True)]
    assert found["corrupted"]["a"]["gaussian"] == pytest.approx(expected)
    assert found["area"]["a/gaussian"] == pytest.approx(sum(expected) / 6)
    assert found["area"] == areas(found["missing_share"], found["corrupted"])


# ---- a seed, a family, a row


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load_plugins()


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(torch.device("cpu"), FeatureCache(tmp_path / "features"))


def spec(fusion: Component, seed: int = 3, encoder: str = "mlp") -> TrialSpec:
    only = fusion.params.get("modality")
    return TrialSpec(
        Component("synergy", {"size": 200}),
        {m: Component(encoder) for m in ("a", "b") if only in (None, m)},
        fusion,
        Component("linear"),
        train=TrainSpec(max_epochs=8),
        seed=seed,
    )


def test_a_seed_carries_its_document_and_a_family_the_mean(
    plugins: Plugins, bench: Workbench, tmp_path: Path
) -> None:
    seeds = []
    for seed in (3, 4):
        folder = tmp_path / str(seed)
        folder.mkdir()
        seeds.append(evaluate_seed(spec(Component("product"), seed), plugins, bench, folder))
    one = seeds[0].diagnoses["robustness"]
    assert one == json.loads((tmp_path / "3" / "robustness.json").read_text())
    test = resolve_dataset(seeds[0].spec.task, plugins)[1].load("test")
    final = evaluate_family(seeds, None, {}, test, plugins)
    mean = final.diagnoses["robustness"]
    read_as(Robustness, json.dumps(mean), "the mean")
    assert mean["rows"] == 200, "all of a small test part"
    assert mean["clean"] == pytest.approx(sum(final.quality["accuracy"][1]) / 2)
    assert mean["clean"] > 0.8 > 0.65 > max(mean["missing"].values()), "it takes both"
    assert mean["conflict"]["a"] < 0.7 and mean["area"]["all"] < mean["clean"]
    between = mean["intervals"]
    assert between["clean"][0] < mean["clean"] <= between["clean"][1]
    for kind in ("missing", "shuffled", "conflict", "area"):
        assert between[kind].keys() == mean[kind].keys()
        assert all(low <= mean[kind][m] <= high for m, (low, high) in between[kind].items())
    low, high = between["missing"]["a"]
    binomial = (0.25 / 200) ** 0.5  # of 200 guesses
    assert high - low > 2 * binomial


def test_an_interval_is_of_the_same_resamples_for_every_model() -> None:
    target = torch.randint(2, (60,), generator=stream(3))
    judge = with_resamples(Accuracy(), target, None, resamples=50)
    scores = torch.randn(60, 2, generator=stream(4))
    assert torch.equal(judge(scores), judge(scores.clone())) and len(judge(scores)) == 51
    assert judge(scores)[0] == (scores.argmax(1) == target).double().mean()
    assert judge(one_hot(target, 2).double()).eq(1).all(), "right is right, however often drawn"
    twice = with_resamples(Accuracy(), target, torch.arange(60) // 30, resamples=50)
    assert len(twice(scores).unique()) <= 4, "of two sources, one, the other or both"
    assert len(with_resamples(MacroF1(), target, None)(scores)) == 1


def test_intervals_take_seeds_and_rows() -> None:
    flat = {"clean": [0.5] * 200, "area": {"all": [0.5] * 200, "a/blur": [0.5] * 200}}
    other = {"clean": [0.7] * 200, "area": {"all": [0.7] * 200}}
    document = {"missing_share": {}, "corrupted": {}, "sources": 50, "ends": [None, None]}
    one = {**document, "clean": 0.5, "area": {"all": 0.5, "a/blur": 0.5}, "draws": flat}
    two = {**document, "clean": 0.7, "area": {"all": 0.7}, "draws": other}
    found = over_seeds([one, two])
    reach = stats.t.ppf(0.975, 1) * 0.1  # two seeds that lie 0.2 apart have one degree of freedom
    assert found["intervals"]["clean"] == pytest.approx([0.6 - reach, 0.6 + reach])
    assert found["intervals"]["area"].keys() == {"all"}
    assert found.keys().isdisjoint({"draws", "sources"})
    bounded = over_seeds([{**seed, "ends": [0.0, 1.0]} for seed in (one, two)])
    assert bounded["intervals"]["clean"] == [0.0, 1.0], "as far as the metric can be"
    assert "intervals" not in over_seeds([one, {k: v for k, v in two.items() if k != "draws"}])


def test_an_interval_lies_around_its_figure() -> None:
    """The mean of resamples is another number."""
    document = {"missing_share": {}, "corrupted": {}, "sources": 50, "ends": [0.0, 1.0]}
    seeds = [
        {**document, "clean": 0.9, "area": {}, "draws": {"clean": [0.88, 0.9, 0.91, 0.87]}}
        for _ in range(2)
    ]
    low, high = over_seeds(seeds)["intervals"]["clean"]
    assert (low + high) / 2 == pytest.approx(0.9)


def test_rows_of_one_source_do_not_count_as_several(
    plugins: Plugins, bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setattr(
        diagnosing, "with_resamples", lambda _, target, source: told.append((target, source))
    )
    train = Workbench.load

    def of_few(self: Workbench, resolved: Resolved, part: Part) -> Split:
        split = train(self, resolved, part)
        return replace(split, source=torch.arange(len(split)) // 5 + 1000 * PARTS.index(part))

    monkeypatch.setattr(Workbench, "load", of_few)
    evaluate_seed(spec(Component("sum")), plugins, bench, tmp_path)
    ((target, source),) = told
    assert len(source) == len(target) and len(source.unique()) == len(target) / 5


@pytest.mark.parametrize("encoder", ["mlp", "vector"])
def test_a_single_modality_is_flat_under_the_other(
    encoder: str, plugins: Plugins, bench: Workbench, tmp_path: Path
) -> None:
    asked = spec(Component("only", {"modality": "a"}), encoder=encoder)
    seed = evaluate_seed(asked, plugins, bench, tmp_path)
    found = seed.diagnoses["robustness"]
    assert found["shuffled"]["b"] == found["missing"]["b"] == found["clean"]
    assert all(curve == [found["clean"]] * 6 for curve in found["corrupted"]["b"].values())
    cached = list((tmp_path / "features").rglob("about.json"))
    assert len(cached) == (3 if encoder == "vector" else 0), "only train, val and test are cached"


def test_diagnoses_can_be_left_out(plugins: Plugins, bench: Workbench, tmp_path: Path) -> None:
    seed = evaluate_seed(spec(Component("sum")), plugins, bench, tmp_path, diagnose=False)
    assert seed.diagnoses == {} and not (tmp_path / "robustness.json").exists()
    assert diagnosing.over_seeds([seed.diagnoses, {"robustness": {}}]) == {}


def test_a_search_that_is_to_end_leaves_a_diagnosis(
    plugins: Plugins, bench: Workbench, tmp_path: Path
) -> None:
    class Ended(BaseException):
        pass

    def end() -> None:
        if (tmp_path / "model").exists():  # trained and saved: what follows are diagnoses
            raise Ended

    ending = replace(bench, between_steps=end)
    with pytest.raises(Ended):
        evaluate_seed(spec(Component("sum")), plugins, ending, tmp_path)
    assert not (tmp_path / "robustness.json").exists() and not (tmp_path / "result.json").exists()


def test_a_failed_diagnosis_never_loses_the_seed(
    plugins: Plugins,
    bench: Workbench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("no noise today")

    monkeypatch.setattr(diagnosing, "robustness", broken)
    seed = evaluate_seed(spec(Component("sum")), plugins, bench, tmp_path)
    assert "robustness" not in seed.diagnoses and load_seed(tmp_path).validation == seed.validation
    assert "no robustness of" in caplog.text and "no noise today" in caplog.text


@pytest.mark.parametrize("wanted", [True, False])
def test_workers_are_told_whether_to_diagnose(wanted: bool, tmp_path: Path) -> None:
    told: list[Sequence[str]] = []

    def pool(arguments: Sequence[str], _phase: str) -> Any:
        told.append(arguments)
        quiet = SimpleNamespace(alive=lambda: False, stop=lambda: None, warnings=list)
        return SimpleNamespace(start=lambda: quiet)

    listener = SimpleNamespace(evaluating=lambda *_: None, note=lambda _: None)
    crew = Crew(workers=1, threads=1, together=5)
    job: Any = SimpleNamespace(
        diagnose=wanted, device="cpu", pool=pool, listener=listener, crew=crew
    )
    with pytest.raises(SearchFailed):
        finishing.finish(job, [tmp_path / "job"])
    assert ("--diagnoses" in told[0]) == wanted != ("--no-diagnoses" in told[0])
    assert told[0][told[0].index("--together") + 1] == "5"


# ---- the board


def document(everything: float, **changes: Any) -> Any:
    return {
        "rows": 1024,
        "clean": 0.9,
        "missing": {"image": 0.3, "question": 0.4},
        "missing_share": {"image": [[0.0, 0.9]], "question": [[0.0, 0.9]]},
        "corrupted": {},
        "shuffled": {},
        "conflict": {},
        "area": {"all": everything},
        **changes,
    }


def test_robustness_is_relative_to_concat_on_the_same_encoders() -> None:
    row = make_row(1, robustness=document(0.7))
    concat = make_row(2, fusion="concat", reference=True, robustness=document(0.6))
    tuned = replace(concat, id="0" * 12, objective="mixup", robustness=document(0.1))
    other = replace(concat, encoders={"image": "vit", "question": "bow"})
    assert relative(row, concat_rows([row, tuned, concat])) == pytest.approx(0.1)
    assert relative(replace(row, higher_is_better=False), concat_rows([concat])) == pytest.approx(
        -0.1
    )
    assert relative(row, concat_rows([row, other])) is None
    assert relative(row, concat_rows([replace(concat, task_version="2")])) is None
    assert relative(row, concat_rows([replace(concat, robustness=None)])) is None
    fewer = document(0.5, area={"image/blur": 0.5, "all": 0.5})
    assert relative(row, concat_rows([replace(concat, robustness=fewer)])) is None, (
        "not the same curves"
    )
    nothing = replace(concat, robustness=document(0.0, area={}))
    assert relative(nothing, concat_rows([nothing])) is None


def test_the_board_shows_robustness_where_there_is_any() -> None:
    bare = make_row(3, 0.5)
    assert "## Robustness" not in markdown(rank([bare]))
    row = make_row(1, robustness=document(0.7))
    concat = make_row(2, 0.8, fusion="concat", reference=True, robustness=document(0.75))
    page = markdown(rank([row, concat, bare]))
    table = page[page.index("## Robustness") :]
    assert "| clean | without image | without question | area under noise |" in table
    assert "| 0.900 | 0.300 | 0.400 | 0.700 | −0.050 |" in table
    assert "accuracy on 1,024 rows of test" in table and table.count("image:cnn") == 2
    sure: Any = {"missing": {"image": [0.2, 0.4]}, "area": {"all": [0.6, 0.8]}}
    sure = make_row(1, robustness=document(0.7, intervals=sure))
    assert "| 0.300 [0.200, 0.400] | 0.400 | 0.700 [0.600, 0.800] |" in markdown(rank([sure]))
    empty = make_row(1, robustness=document(0.7, missing={}, area={}))
    assert "| 0.900 | – | – | – | – |" in markdown(rank([empty, concat]))
