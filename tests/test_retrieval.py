"""Retrieval: embeddings of two sides, paradigms that match them, and a row from end to end."""

import json
import math
import sys
from dataclasses import replace

import pytest
import torch
from slow_formulas import assert_computes, example
from small_finals import concluded, trained

from mmbench import sanity
from mmbench.cli import main as cli
from mmbench.contracts import Dataset, Outputs
from mmbench.datasets._items import pairs
from mmbench.errors import Incompatible, InvalidSpec
from mmbench.explain.subject import subject
from mmbench.features import FeatureCache
from mmbench.fusions.dual import DualFusion
from mmbench.leaderboard.across.entries import entries_of
from mmbench.leaderboard.row_files import read_row, write_row
from mmbench.leaderboard.verify import verify
from mmbench.objectives.hardest_negative import HardestNegativeObjective
from mmbench.objectives.info_nce import InfoNCEObjective
from mmbench.objectives.sigmoid_pairs import SigmoidPairsObjective
from mmbench.plugins import load_plugins
from mmbench.predicting import Predictor
from mmbench.resolve import resolve
from mmbench.saved import load_model
from mmbench.search.candidates import find_candidates
from mmbench.search.propose import default_spec, reference_specs
from mmbench.search.request import SearchRequest
from mmbench.spec import Component, train_spec
from mmbench.testing import check_dataset, fusion_checks
from mmbench.trial import Workbench
from mmbench.types import Column, Encoded, Part, Split, Task

VARIANTS = [(DualFusion, {})]
SEEDS = [1000, 1001, 1002]


class Pairs(Dataset):
    """Two views of points; every second point is seen by two rows of the first side."""

    name = "pairs"
    version = "1"
    task = Task({"left": "tabular", "right": "tabular"}, "retrieval", (), "mean-recall")

    def load(self, part: Part) -> Split:
        points, rows = {"train": (160, 1), "val": (40, 2), "test": (40, 3)}[part]
        draw = torch.Generator().manual_seed(rows)
        shown = torch.randn(points, 4, generator=draw)
        turned = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
        index = torch.cat([torch.arange(points), torch.arange(0, points, 2)])
        left = shown[index] + 0.1 * torch.randn(len(index), 4, generator=draw)
        columns = {"left": Column(left), "right": Column(shown @ turned, index)}
        kinds = ("twice" if i % 2 == 0 else "once" for i in index.tolist())
        return Split(columns, pairs(*columns.values()), {"seen": tuple(kinds)}, source=None)


@pytest.fixture(scope="module")
def plugins():
    own = load_plugins.__wrapped__()
    own.datasets.add(Pairs, "mmbench")
    return own


@pytest.fixture(scope="module")
def spec(plugins):
    candidates = find_candidates(Pairs.task, plugins, "cpu")
    train = {"max_epochs": 3, "learning_rate": 0.01}
    return default_spec(SearchRequest(Component("pairs"), candidates, "cpu", train=train), plugins)


@pytest.fixture(scope="module")
def finals(plugins, spec, tmp_path_factory):
    """The row of a tiny retrieval, and the folders of its seeds."""
    home = tmp_path_factory.mktemp("runs") / "study" / "finals"
    family, seeds = trained(spec, SEEDS, plugins, home)
    (row,) = concluded({family: seeds}, plugins, [("finished", 0.5)])
    return row, [seed.folder for seed in seeds]


# What fits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", fusion_checks(), ids=lambda c: c.__name__)
def test_dual_keeps_the_contract(check):
    check(DualFusion)


def test_dual_sets_vectors_of_length_one_side_by_side():
    def formula(row):
        sides = [row[m] or [0.0] * 3 for m in ("a", "b")]
        lengths = [math.sqrt(sum(v * v for v in side)) or 1.0 for side in sides]
        return [v / n for side, n in zip(sides, lengths, strict=True) for v in side]

    dims = {"a": 3, "b": 3}
    assert_computes(DualFusion(dims).double(), formula, example(dims))


def test_only_what_embeds_both_sides_takes_part(plugins, spec):
    candidates = find_candidates(Pairs.task, plugins, "cpu", fusions=["all"], objectives=["all"])
    assert candidates.fusions == ["dual"]
    assert set(candidates.objectives) == {"info-nce", "hardest-negative", "sigmoid-pairs"}
    assert candidates.dropped["concat"] == (
        "concat serves classification, multilabel, regression, sequence; the task is retrieval"
    )
    request = SearchRequest(Component("pairs"), candidates, "cpu")
    assert reference_specs(request, plugins) == []
    assert (spec.fusion.name, spec.objective.name) == ("dual", "info-nce")
    with pytest.raises(Incompatible, match="only serves classification"):
        resolve(replace(spec, fusion=Component("only")), plugins)
    others = find_candidates(plugins.datasets["synergy"]().task, plugins, "cpu")
    assert "dual" not in others.fusions and "info-nce" not in others.objectives
    assert "the task is classification" in others.dropped["dual"]


def test_items_are_counted_by_value():
    split = Pairs().load("val")
    check_dataset(Pairs())
    assert split.target[40:, 1].tolist() == split.target[0:40:2, 1].tolist()
    assert len(split.target[:, 0].unique()) == 60 and len(split.target[:, 1].unique()) == 40
    wrong = Pairs()
    wrong.load = lambda part: replace(split, target=torch.arange(60).unsqueeze(1).expand(-1, 2))
    with pytest.raises(AssertionError, match="60 items of 'right', which has 40 different values"):
        check_dataset(wrong)


# Paradigms -------------------------------------------------------------------------------------

TARGET = torch.tensor([[0, 0], [1, 1], [1, 2], [2, 2], [3, 3]])
"""Rows 1 and 2 share a left item, 2 and 3 a right one."""
SHARING = {frozenset(pair) for pair in ((1, 2), (2, 3))}
HERE = [0, 1, 2, 3]
"""Row 4 misses its right side."""


@pytest.fixture
def outputs() -> Outputs:
    torch.manual_seed(0)
    scores = torch.nn.functional.normalize(torch.randn(5, 2, 3, dtype=torch.float64), dim=-1)
    one = torch.ones(5, 1)
    features = {
        "left": Encoded.vector(one),
        "right": Encoded.vector(one, torch.tensor([True] * 4 + [False])),
    }
    return Outputs(scores.flatten(1), scores.flatten(1), features=features)


def alike(outputs, turn):
    """s[i][j] of row i's one side and row j's other."""
    rows = outputs.scores.tolist()
    sides = [(r[3:], r[:3]) if turn else (r[:3], r[3:]) for r in rows]
    return [[sum(a * b for a, b in zip(x[0], y[1], strict=True)) for y in sides] for x in sides]


def negatives(i):
    return [j for j in HERE if j != i and frozenset((i, j)) not in SHARING]


def built(cls, **params):
    return cls(Pairs.task, {"left": 1, "right": 1}, 6, **params)


def test_info_nce_is_its_formula(outputs):
    expected = 0.0
    for turn in (False, True):
        s = alike(outputs, turn)
        for i in HERE:
            others = sum(math.exp(s[i][j] / 0.2) for j in negatives(i))
            own = math.exp(s[i][i] / 0.2)
            expected -= math.log(own / (own + others)) / len(HERE) / 2
    found = built(InfoNCEObjective, temperature=0.2)(outputs, TARGET)
    assert found.item() == pytest.approx(expected)


@pytest.mark.parametrize("over", ["hardest", "all"])
def test_hardest_negative_is_its_formula(outputs, over):
    expected = 0.0
    for turn in (False, True):
        s = alike(outputs, turn)
        for i in HERE:
            hinges = [max(0.0, 0.4 - s[i][i] + s[i][j]) for j in negatives(i)]
            expected += (max(hinges) if over == "hardest" else sum(hinges)) / len(HERE)
    found = built(HardestNegativeObjective, margin=0.4, negatives=over)(outputs, TARGET)
    assert found.item() == pytest.approx(expected)


def test_all_negatives_count_before_the_hardest(outputs):
    """The hardest alone draw everything to one point before there is anything to tell apart."""
    objective = built(HardestNegativeObjective, warmup=2)
    losses = []
    for epoch in range(4):
        objective.begin_epoch(epoch, None, None)
        losses.append(objective(outputs, TARGET).item())
    every = built(HardestNegativeObjective, negatives="all")(outputs, TARGET).item()
    hardest = built(HardestNegativeObjective)(outputs, TARGET).item()
    assert losses == [every, every, hardest, hardest] and hardest < every


def test_sigmoid_pairs_is_its_formula(outputs):
    s, expected = alike(outputs, False), 0.0
    for i in HERE:
        for j in HERE:
            z = -1 if j in negatives(i) else 1
            expected += math.log(1 + math.exp(-z * (5.0 * s[i][j] - 2.0))) / len(HERE)
    found = built(SigmoidPairsObjective, scale=5.0, bias=-2.0)(outputs, TARGET)
    assert found.item() == pytest.approx(expected, rel=1e-6)


# A row, from training to the board ---------------------------------------------------------------


def test_a_row_says_how_well_both_directions_are_found(finals):
    row, _ = finals
    main, chance = row.quality["mean-recall"], 16 / 3 / 40
    assert main["mean"] > 3 * chance and main["low"] < main["mean"] < main["high"]
    for name in ("recall-at-1", "mrr", "median-rank"):
        assert {name, f"{name}-reverse"} <= set(row.quality)
    cells = row.slices["seen"]
    total = sum(c["rows"] * c["score"] for c in cells.values()) / 60
    assert total == pytest.approx(main["mean"]), "each asks in the whole index"
    assert row.gain is None and row.confusion is None and row.contribution is None
    with pytest.raises(InvalidSpec, match="answer together"):
        entries_of([row])
    assert row.robustness["missing"] == row.robustness["conflict"] == {}
    assert set(row.robustness["corrupted"]) == {"left", "right"}


def test_the_row_is_verified_from_its_embeddings(finals, plugins, tmp_path):
    row, folders = finals
    write_row(tmp_path, row, folders[0])
    (checked,) = verify([tmp_path], plugins)
    assert checked.recomputed and not checked.problems
    file = tmp_path / "pairs" / f"{row.id}.json"
    forged = json.loads(file.read_text())
    forged["quality"]["recall-at-1"]["per_seed"][0] += 0.1
    file.write_text(json.dumps(forged))
    (checked,) = verify([tmp_path], plugins)
    assert any("recall-at-1" in problem for problem in checked.problems)


def test_its_board_and_site_are_built(finals, tmp_path, monkeypatch, capsys):
    row, folders = finals
    write_row(tmp_path / "boards", row, folders[0])
    for way in ("--write", "--html"):
        call = ["mmbench", "leaderboard", "--leaderboards", str(tmp_path / "boards"), way]
        monkeypatch.setattr(
            sys, "argv", call + ([str(tmp_path / "out")] if way == "--html" else [])
        )
        with pytest.raises(SystemExit) as end:
            cli.main()
            raise SystemExit(0)
        assert not end.value.code, capsys.readouterr()
    page = (tmp_path / "boards" / "pairs" / "README.md").read_text()
    assert "mean-recall" in page and "one modality answers another" in page
    assert (tmp_path / "out" / "index.html").is_file()
    assert read_row(tmp_path / "boards" / "pairs" / f"{row.id}.json").metric == "mean-recall"


def test_the_model_embeds_and_compares(finals, plugins):
    _, folders = finals
    predictor = Predictor(load_model(folders[0] / "model", plugins, torch.device("cpu")))
    split = Pairs().load("test")
    one, other = split.columns["left"].values[0], split.columns["right"].values[0]
    pair = {"left": one.tolist(), "right": other.tolist()}
    vectors = predictor.scores([pair, {"left": pair["left"]}], folders[0])
    left, right = vectors.chunk(2, dim=1)
    assert left.norm(dim=1) == pytest.approx([1, 1]) and right.norm(dim=1) == pytest.approx([1, 0])
    assert torch.allclose(left[0], left[1]), "an item's embedding does not depend on its partner"
    said = predictor.predict(pair)
    assert said.value == pytest.approx(float(left[0] @ right[0])) and said.probabilities == {}
    with pytest.raises(Incompatible, match="no answer to be explained"):
        subject(folders[0] / "model", 0, plugins, torch.device("cpu"))


def test_pairs_that_are_parted_fall_to_chance(plugins, spec, monkeypatch, tmp_path):
    bench = Workbench(torch.device("cpu"), FeatureCache(tmp_path))
    short = replace(spec, train=train_spec({"max_epochs": 2, "learning_rate": 0.01}))
    train = Pairs().load("train")
    parted = sanity.parted(train, 0)
    assert parted.columns["left"] is train.columns["left"]
    right = parted.columns["right"]
    assert right.values is train.columns["right"].values, "what a cache holds of them stays true"
    assert not torch.equal(right.value_of_row, train.columns["right"].value_of_row)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(parted.target, train.target)
    check_items = {tuple(p) for p in parted.target.tolist()}
    assert len(check_items) > 200, "nearly all pairs are new"
    assert all(f.sane for f in sanity.fall_to_chance(short, [0, 1, 2], plugins, bench))
    monkeypatch.setattr(sanity, "parted", lambda train, seed: train)
    assert not any(f.sane for f in sanity.fall_to_chance(short, [0, 1, 2], plugins, bench))


def test_values_that_are_not_in_memory_have_no_items():
    column = Column(Encoded.vector(torch.zeros(2, 1)))
    with pytest.raises(TypeError, match="in memory"):
        pairs(column, column)
