"""Each metric against a slow, obvious formula, and its documented value in degenerate cases."""

import math
from dataclasses import replace
from itertools import product
from statistics import median

import pytest
import torch
from torch import Tensor

from mmbench.contracts import Metric
from mmbench.datasets.cmu_mosi import MOSI
from mmbench.errors import Incompatible, InvalidSpec, TrainingDiverged
from mmbench.evaluation.quality import by_slice, quality
from mmbench.losses import supervised_loss
from mmbench.metrics import (
    classification,
    decisions,
    multilabel,
    regression,
    retrieval,
    sentiment,
    sequence,
)
from mmbench.plugins import load_plugins
from mmbench.testing import check_metric
from mmbench.types import Task

MODULES = (classification, decisions, multilabel, regression, retrieval, sentiment, sequence)
METRICS = {cls.name: cls for module in MODULES for cls in module.register_metrics()}


def measure(name: str, scores: Tensor, target: Tensor) -> float:
    value = METRICS[name]()(scores, target)
    assert type(value) is float
    assert math.isfinite(value)
    return value


def probabilities(scores: Tensor) -> list[list[float]]:
    rows = [[math.exp(s) for s in row] for row in scores.tolist()]
    return [[round(e / sum(row), 12) for e in row] for row in rows]  # ties stay ties


def best(row: list[float]) -> int:
    return row.index(max(row))


# The obvious formulas ------------------------------------------------------------------------


def accuracy(p, y):
    return sum(best(row) == t for row, t in zip(p, y, strict=True)) / len(y)


def counts(guess, y, k):
    hit = sum(g == k and t == k for g, t in zip(guess, y, strict=True))
    return hit, guess.count(k), y.count(k)


def precision_of(hit, guessed, _true):
    return hit / guessed if guessed else 0.0


def recall_of(hit, _guessed, true):
    return hit / true if true else 0.0


def f1_of(hit, guessed, true):
    return 2 * hit / (guessed + true) if guessed + true else 0.0


def macro(figure, classes):
    def over(p, y):
        guess = [best(row) for row in p]
        named = sorted(classes(guess, y))
        return sum(figure(*counts(guess, y, k)) for k in named) / len(named)

    return over


def either(guess, y):
    return set(guess) | set(y)


def auroc(p, y):
    areas = []
    for k in sorted(set(y)):
        inside = [row[k] for row, t in zip(p, y, strict=True) if t == k]
        outside = [row[k] for row, t in zip(p, y, strict=True) if t != k]
        wins = sum((a > b) + 0.5 * (a == b) for a, b in product(inside, outside))
        areas.append(wins / (len(inside) * len(outside)))
    return sum(areas) / len(areas)


def log_loss(p, y):
    return -sum(math.log(row[t]) for row, t in zip(p, y, strict=True)) / len(y)


def ece(p, y):
    total = 0.0
    for k in range(15):
        inside = [
            (max(row), best(row) == t)
            for row, t in zip(p, y, strict=True)
            if k / 15 < max(row) <= (k + 1) / 15
        ]
        if inside:
            confidence = sum(c for c, _ in inside) / len(inside)
            right = sum(r for _, r in inside) / len(inside)
            total += len(inside) / len(y) * abs(confidence - right)
    return total


def one_against_rest(p, y):
    """Average precision of every class that occurs, the mean of them."""
    figures = [average_precision([row[k] for row in p], [t == k for t in y]) for k in set(y)]
    return sum(figures) / len(figures)


def micro_f1(p, y):
    """F1 of all rows × classes decisions."""
    guess = [best(row) for row in p]
    hits, guessed, true = zip(*(counts(guess, y, k) for k in range(len(p[0]))), strict=True)
    return f1_of(sum(hits), sum(guessed), sum(true))


CLASS_REFERENCES = {
    "accuracy": accuracy,
    "balanced-accuracy": macro(recall_of, lambda guess, y: set(y)),
    "macro-f1": macro(f1_of, either),
    "macro-precision": macro(precision_of, either),
    "macro-recall": macro(recall_of, either),
    "auroc": auroc,
    "log-loss": log_loss,
    "ece": ece,
    "micro-f1": micro_f1,
    "average-precision": one_against_rest,
}


def pearson(a, b):
    ma, mb = sum(a) / len(a), sum(b) / len(b)
    together = sum((x - ma) * (y - mb) for x, y in zip(a, b, strict=True))
    return together / math.sqrt(sum((x - ma) ** 2 for x in a) * sum((y - mb) ** 2 for y in b))


def ranks(a):
    return [sum(x < y for x in a) + (sum(x == y for x in a) + 1) / 2 for y in a]


def r2(a, b):
    mean = sum(b) / len(b)
    left = sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    return 1 - left / sum((y - mean) ** 2 for y in b)


NUMBER_REFERENCES = {
    "mae": lambda a, b: sum(abs(x - y) for x, y in zip(a, b, strict=True)) / len(a),
    "rmse": lambda a, b: math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / len(a)),
    "r2": r2,
    "pearson": pearson,
    "spearman": lambda a, b: pearson(ranks(a), ranks(b)),
}


def in_steps(end):
    def share(a, b):
        steps = [[round(max(-end, min(end, x))) for x in side] for side in (a, b)]
        return sum(x == y for x, y in zip(*steps, strict=True)) / len(a)

    return share


def negative_or(rule, classes, kept=lambda _: True):
    """``rule`` (guessed, true) of the classes of the rows that are kept."""

    def figure(a, b):
        pairs = [(classes(x), classes(y)) for x, y in zip(a, b, strict=True) if kept(y)]
        return rule(*zip(*pairs, strict=True)) if pairs else 0.0

    return figure


def agreement(guess, y):
    return sum(g == t for g, t in zip(guess, y, strict=True)) / len(y)


def weighted_f1(guess, y):
    return sum(f1_of(*counts(guess, y, k)) * y.count(k) for k in (False, True)) / len(y)


NOT_NEGATIVE, POSITIVE = (lambda x: x >= 0), (lambda x: x > 0)
SENTIMENT_REFERENCES = {
    "acc-7": in_steps(3),
    "acc-5": in_steps(2),
    "acc-2-has0": negative_or(agreement, NOT_NEGATIVE),
    "acc-2-non0": negative_or(agreement, POSITIVE, bool),
    "f1-has0": negative_or(weighted_f1, NOT_NEGATIVE),
    "f1-non0": negative_or(weighted_f1, POSITIVE, bool),
}


def flat_counts(guess, y):
    return sum(g and t for g, t in zip(guess, y, strict=True)), sum(guess), sum(y)


def average_precision(scores, y):
    """Mean, over the positives, of the precision among all scored at least as high."""
    at = []
    for s, t in zip(scores, y, strict=True):
        if t:
            above = [u for v, u in zip(scores, y, strict=True) if v >= s]
            at.append(sum(above) / len(above))
    return sum(at) / len(at)


def retrieval_ranks(scores, relevant):
    """Rank of each query's best relevant item, ties at the mean of what they could be."""
    found = []
    for row, wanted in zip(scores, relevant, strict=True):
        if any(wanted):
            best_score = max(s for s, w in zip(row, wanted, strict=True) if w)
            others = [s for s, w in zip(row, wanted, strict=True) if not w]
            first = 1 + sum(s > best_score for s in others)
            last = 1 + sum(s >= best_score for s in others)
            found.append((first + last) / 2)
    return found


RETRIEVAL_REFERENCES = {
    "recall-at-1": lambda ranks: sum(r <= 1 for r in ranks) / len(ranks),
    "recall-at-5": lambda ranks: sum(r <= 5 for r in ranks) / len(ranks),
    "recall-at-10": lambda ranks: sum(r <= 10 for r in ranks) / len(ranks),
    "mrr": lambda ranks: sum(1 / r for r in ranks) / len(ranks),
    "median-rank": median,
}


# Tests ---------------------------------------------------------------------------------------


def test_every_metric_has_a_reference_and_a_unique_name():
    both_ways = {f"{name}{way}" for name in RETRIEVAL_REFERENCES for way in ("", "-reverse")}
    labels = {"macro-f1-multilabel"}
    said = {"exact-match", "token-accuracy", "bleu"}  # theirs are in test_sequence.py
    both_ways.add("mean-recall")
    numbers = {*NUMBER_REFERENCES, *SENTIMENT_REFERENCES}
    assert set(METRICS) == {*CLASS_REFERENCES, *numbers, *labels, *both_ways, *said}
    assert len(METRICS) == sum(len(module.register_metrics()) for module in MODULES)
    lower = {name for name, cls in METRICS.items() if not cls.higher_is_better}
    assert lower == {"log-loss", "ece", "mae", "rmse", "median-rank", "median-rank-reverse"}


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_keeps_the_contract(name):
    check_metric(METRICS[name])


@pytest.mark.parametrize("name", CLASS_REFERENCES)
@pytest.mark.parametrize("classes", [2, 5])
def test_class_metric_equals_its_formula(name, classes):
    draw = torch.Generator().manual_seed(classes)
    scores = 2 * torch.randn(200, classes, generator=draw)
    target = torch.randint(classes, (200,), generator=draw)
    scores[:80] += 3 * torch.eye(classes)[target[:80]]
    expected = CLASS_REFERENCES[name](probabilities(scores), target.tolist())
    assert measure(name, scores, target) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "name", ["balanced-accuracy", "macro-f1", "macro-precision", "macro-recall", "auroc"]
)
def test_classes_absent_from_target_or_predictions(name):
    """Class 3 of 5 is nowhere, class 4 is only predicted, class 0 only in the target."""
    target = torch.tensor([0, 0, 1, 1, 2, 2, 2])
    guess = torch.tensor([1, 2, 1, 4, 2, 2, 1])
    scores = torch.eye(5)[guess] * 2
    expected = CLASS_REFERENCES[name](probabilities(scores), target.tolist())
    assert measure(name, scores, target) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", CLASS_REFERENCES)
@pytest.mark.parametrize("rows", [1, 6])
def test_one_class_only(name, rows):
    value = measure(name, torch.zeros(rows, 3), torch.ones(rows, dtype=torch.long))
    known = {"auroc": 0.5, "log-loss": math.log(3), "ece": 1 / 3, "average-precision": 1.0}
    assert value == pytest.approx(known.get(name, 0.0))


@pytest.mark.parametrize("name", ["accuracy", "ece", "log-loss"])
def test_large_logits_stay_finite(name):
    measure(name, torch.tensor([[1e4, -1e4], [1e4, -1e4]]), torch.tensor([0, 1]))


@pytest.mark.parametrize("name", NUMBER_REFERENCES)
@pytest.mark.parametrize("outputs", [1, 3])
def test_number_metric_equals_its_formula(name, outputs):
    draw = torch.Generator().manual_seed(1)
    target = torch.randn(100, outputs, generator=draw)
    scores = target + torch.randn(100, outputs, generator=draw).mul(2).round()
    columns = zip(scores.T.tolist(), target.T.tolist(), strict=True)
    expected = sum(NUMBER_REFERENCES[name](a, b) for a, b in columns) / outputs
    assert measure(name, scores, target) == pytest.approx(expected, abs=1e-6)
    if outputs == 1:
        assert measure(name, scores, target[:, 0]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", SENTIMENT_REFERENCES)
@pytest.mark.parametrize("least", [-3, 0])
def test_sentiment_metric_equals_its_formula(name, least):
    target = torch.randint(least, 4, (60,)).float()
    scores = (target + 2 * torch.randn(60)).unsqueeze(1)
    scores[:5] = 0
    value = measure(name, scores, target)
    expected = SENTIMENT_REFERENCES[name](scores.flatten().tolist(), target.tolist())
    assert value == pytest.approx(expected)


def test_sentiment_metrics_are_for_the_tasks_that_ask_for_them():
    scores, target, plugins = torch.randn(9, 1), torch.randn(9), load_plugins()
    plain = Task({"text": "text"}, "regression", ("price",), "mae")
    asking = replace(plain, figures=("acc-7",))
    assert quality(scores, target, plain, plugins).keys() == set(NUMBER_REFERENCES)
    assert quality(scores, target, asking, plugins).keys() == {*NUMBER_REFERENCES, "acc-7"}
    assert quality(scores, target, MOSI.task, plugins).keys() >= set(SENTIMENT_REFERENCES)


def test_ranks_with_ties():
    scores, target = torch.tensor([[1.0], [1.0], [2.0], [3.0]]), torch.tensor([1.0, 2.0, 2.0, 3.0])
    expected = pearson(ranks([1, 1, 2, 3]), ranks([1, 2, 2, 3]))
    assert measure("spearman", scores, target) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["r2", "pearson", "spearman"])
@pytest.mark.parametrize("rows", [1, 5])
def test_constant_numbers_count_as_nothing_explained(name, rows):
    varied = torch.arange(float(rows)).unsqueeze(1) + 1
    assert measure(name, varied, torch.zeros(rows)) == 0.0
    if name != "r2":
        assert measure(name, torch.full((rows, 1), 0.1), varied[:, 0]) == 0.0


def test_constant_target_predicted_exactly():
    assert measure("r2", torch.ones(4, 1), torch.ones(4)) == 1.0


@pytest.mark.parametrize("labels", [1, 4])
def test_label_metrics_equal_their_formulas(labels):
    draw = torch.Generator().manual_seed(2)
    target = torch.randint(2, (60, labels), generator=draw)
    scores = torch.randn(60, labels, generator=draw) + target
    guess = (scores > 0).int()
    micro = f1_of(*flat_counts(guess.flatten().tolist(), target.flatten().tolist()))
    pairs = list(zip(scores.T.tolist(), guess.T.tolist(), target.T.tolist(), strict=True))
    macro_f1 = sum(f1_of(*flat_counts(g, t)) for _, g, t in pairs) / labels
    precision = sum(average_precision(s, t) for s, _, t in pairs) / labels
    assert measure("micro-f1", scores, target) == pytest.approx(micro)
    assert measure("macro-f1-multilabel", scores, target) == pytest.approx(macro_f1)
    assert measure("average-precision", scores, target) == pytest.approx(precision)


def test_labels_that_never_occur_are_left_out():
    target = torch.tensor([[1, 0, 0], [1, 0, 0]])
    scores = torch.tensor([[1.0, -1.0, 1.0], [1.0, -1.0, -1.0]])
    assert measure("macro-f1-multilabel", scores, target) == 0.5  # labels 0 and 2
    assert measure("average-precision", scores, target) == 1.0  # label 0
    for name in ("micro-f1", "macro-f1-multilabel", "average-precision"):
        assert measure(name, -torch.ones(2, 3), torch.zeros(2, 3)) == 0.0


def pairs_in_a_shared_index() -> tuple[Tensor, Tensor]:
    """Embeddings that tie often, of 60 pairs over 12 items of one side and 25 of the other."""
    draw = torch.Generator().manual_seed(3)
    target = torch.stack([torch.randint(n, (60,), generator=draw) for n in (12, 25)], dim=1)
    sides = [torch.randn(n, 4, generator=draw).round() for n in (12, 25)]
    sides[1][:12] += sides[0]
    return torch.cat([side[i] for side, i in zip(sides, target.T, strict=True)], dim=1), target


def retrieval_ranks_of_rows(scores, target, asks, answers):
    """By a slow look at everything: of each row's query, among the distinct items it may find."""
    width = scores.shape[1] // 2
    vectors = [[row[:width], row[width:]] for row in scores.double().tolist()]
    items = {pair[answers]: vectors[i][answers] for i, pair in enumerate(target.tolist())}
    found = []
    for i, pair in enumerate(target.tolist()):
        query = vectors[i][asks]
        row = [sum(a * b for a, b in zip(query, v, strict=True)) for v in items.values()]
        right = {p[answers] for p in target.tolist() if p[asks] == pair[asks]}
        found += retrieval_ranks([row], [[item in right for item in items]])
    return found


@pytest.mark.parametrize("name", RETRIEVAL_REFERENCES)
def test_retrieval_metric_equals_its_formula_in_both_directions(name):
    scores, target = pairs_in_a_shared_index()
    for way, asks, answers in (("", 0, 1), ("-reverse", 1, 0)):
        ranks = retrieval_ranks_of_rows(scores, target, asks, answers)
        expected = RETRIEVAL_REFERENCES[name](ranks)
        assert measure(name + way, scores, target) == pytest.approx(expected)


def test_mean_recall_is_that_of_both_directions():
    given = pairs_in_a_shared_index()
    recalls = [measure(f"recall-at-{k}{w}", *given) for k in (1, 5, 10) for w in ("", "-reverse")]
    assert measure("mean-recall", *given) == pytest.approx(sum(recalls) / 6)
    assert METRICS["mean-recall"]().per_row(*given).mean() == pytest.approx(sum(recalls) / 6)


def test_queries_of_a_retrieval_are_asked_in_pieces(monkeypatch):
    given = pairs_in_a_shared_index()
    whole = [measure(f"mrr{way}", *given) for way in ("", "-reverse")]
    monkeypatch.setattr(retrieval, "QUERIES_AT_ONCE", 5)
    assert [measure(f"mrr{way}", *given) for way in ("", "-reverse")] == whole


def test_what_says_nothing_ranks_in_the_middle():
    target = torch.arange(9).unsqueeze(1).expand(-1, 2)
    assert measure("median-rank", torch.zeros(9, 2), target) == 5
    assert measure("recall-at-1", torch.zeros(9, 2), target) == 0


def test_the_rows_of_a_slice_ask_in_the_whole_index():
    draw = torch.Generator().manual_seed(0)
    target = torch.arange(60).unsqueeze(1).expand(-1, 2)
    side = torch.randn(60, 3, generator=draw)
    scores = torch.cat([side, side + torch.randn(60, 3, generator=draw)], dim=1)
    each = METRICS["mrr"]().per_row(scores, target)
    slices = {"part": ["few"] * 10 + ["rest"] * 50}
    few = by_slice(scores, target, slices, METRICS["mrr"]())["part"]["few"]
    assert few == {"rows": 10, "score": pytest.approx(each[:10].mean().item())}
    assert few["score"] < measure("mrr", scores[:10], target[:10]), "there is less to be found in"


@pytest.mark.parametrize(("width", "sides"), [(4, 3), (4, 1), (3, 2)])
def test_a_retrieval_target_of_no_two_sides_is_refused(width, sides):
    with pytest.raises(InvalidSpec, match="the item of each side"):
        METRICS["mrr"]()(torch.zeros(2, width), torch.zeros(2, sides, dtype=torch.long))


def test_there_is_no_loss_per_sample_of_retrieval():
    with pytest.raises(Incompatible, match="contrastive"):
        supervised_loss("retrieval", torch.zeros(2, 3), torch.zeros(2, dtype=torch.long))


def some_target(cls: type[Metric], rows: int) -> Tensor:
    shape = (rows, 2) if cls.targets & {"multilabel", "retrieval", "sequence"} else (rows,)
    return torch.zeros(shape, dtype=torch.float if "regression" in cls.targets else torch.long)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_scores_that_are_no_numbers_are_refused(name, bad):
    outputs = 1 if "regression" in METRICS[name].targets else 2
    scores = torch.zeros(3, outputs)
    scores[1, 0] = bad
    with pytest.raises(TrainingDiverged, match=f"{name}: 1 of"):
        METRICS[name]()(scores, some_target(METRICS[name], 3))


@pytest.mark.parametrize("name", METRICS)
def test_rows_must_match_and_exist(name):
    for rows, targets in ((0, 0), (2, 3)):
        with pytest.raises(InvalidSpec, match=f"got {rows} scores for {targets} targets"):
            METRICS[name]()(torch.zeros(rows, 2), some_target(METRICS[name], targets))
