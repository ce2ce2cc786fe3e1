"""Quality and its intervals, against slow and obvious references."""

import json
import time
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from scipy import stats
from torch import Tensor

from mmbench.contracts import Metric
from mmbench.evaluation.estimates import Estimate, Interval, Spread, spread_of_seeds
from mmbench.evaluation.intervals import bootstrap, gain_estimate
from mmbench.evaluation.quality import by_slice, confusion, quality
from mmbench.evaluation.reliability import reliability_bins
from mmbench.evaluation.resampling import OfSums, PerRow, Resampler
from mmbench.metrics.classification import ExpectedCalibrationError
from mmbench.plugins import Plugins, load_plugins
from mmbench.types import Task


class Accuracy(Metric):
    name = "accuracy"
    targets: ClassVar = frozenset({"classification"})

    def __call__(self, scores: Tensor, target: Tensor) -> float:
        return float((scores.argmax(1) == target).double().mean())


class FastAccuracy(Accuracy):
    def per_row(self, scores: Tensor, target: Tensor) -> Tensor:
        return scores.argmax(1) == target


class Error(Metric):
    """Mean absolute error: lower is better."""

    name = "mae"
    targets: ClassVar = frozenset({"regression"})
    higher_is_better = False

    def __call__(self, scores: Tensor, target: Tensor) -> float:
        return float((scores[:, 0] - target).abs().double().mean())

    def per_row(self, scores: Tensor, target: Tensor) -> Tensor:
        return (scores[:, 0] - target).abs()


class Level(Metric):
    """The mean of what is predicted."""

    name = "level"
    targets: ClassVar = frozenset({"regression"})

    def __call__(self, scores: Tensor, target: Tensor) -> float:
        return float(scores.double().mean())

    def per_row(self, scores: Tensor, target: Tensor) -> Tensor:
        return scores[:, 0]


class Undefined(Accuracy):
    name = "undefined"

    def __call__(self, scores: Tensor, target: Tensor) -> float:
        return float("nan")


class Broken(Accuracy):
    name = "broken"

    def __call__(self, scores: Tensor, target: Tensor) -> float:
        raise ZeroDivisionError("no rows of class 3")


def task(metric: str = "accuracy") -> Task:
    return Task({"x": "tabular"}, "classification", ("a", "b"), metric)


def plugins(*metrics: type[Metric]) -> Plugins:
    found = Plugins()
    for metric in metrics:
        found.metrics.add(metric, "test")
    return found


def seeds_with_accuracy(correct: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    """Scores per seed over two classes that are right exactly where ``correct`` says."""
    target = torch.zeros(len(correct[0]), dtype=torch.long)
    return [torch.stack([c.double(), 1 - c.double()], dim=1) for c in correct], target


def coin(n: int, p: float, seed: int) -> Tensor:
    return torch.rand(n, generator=torch.Generator().manual_seed(seed)) < p


def width(interval: Interval) -> float:
    return interval.high - interval.low


def test_quality_holds_every_metric_that_fits_the_target() -> None:
    scores, target = seeds_with_accuracy([torch.tensor([True, True, False, True])])
    assert quality(scores[0], target, task(), plugins(Accuracy, Error)) == {"accuracy": 0.75}


def test_a_broken_metric_never_stops_the_others_unless_it_is_the_tasks_own() -> None:
    scores, target = seeds_with_accuracy([torch.tensor([True, False])])
    with pytest.warns(UserWarning, match="broken is left out: it raised ZeroDivisionError"):
        assert quality(scores[0], target, task(), plugins(Accuracy, Broken)) == {"accuracy": 0.5}
    with pytest.warns(UserWarning, match="undefined is left out: it gave nan"):
        assert quality(scores[0], target, task(), plugins(Accuracy, Undefined)) == {"accuracy": 0.5}
    with pytest.raises(ZeroDivisionError):
        quality(scores[0], target, task("broken"), plugins(Accuracy, Broken))


def test_slices_add_up_to_the_whole() -> None:
    scores, target = seeds_with_accuracy([torch.tensor([True, True, False, False, True])])
    slices = {"type": ["count", "colour", "count", "colour", "colour"]}
    found = by_slice(scores[0], target, slices, Accuracy())
    assert found == {
        "type": {
            "colour": {"rows": 3, "score": pytest.approx(2 / 3)},
            "count": {"rows": 2, "score": 0.5},
        }
    }
    assert by_slice(scores[0], target, {}, Accuracy()) == {}


def test_confusion_counts_true_by_predicted() -> None:
    scores = torch.eye(3)[[0, 0, 1, 2, 2]]
    target = torch.tensor([0, 1, 1, 0, 0])
    assert confusion(scores, target, 3) == [[1, 0, 2], [1, 1, 0], [0, 0, 0]]


def test_reliability_bins_hold_every_row_and_their_gaps_are_the_calibration_error() -> None:
    scores = 2 * torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    target = torch.randint(4, (300,), generator=torch.Generator().manual_seed(1))
    bins = reliability_bins(scores, target)
    assert json.loads(json.dumps(bins)) == bins
    assert (len(bins["edges"]), sum(bins["rows"])) == (16, 300)
    sure, predicted = scores.double().softmax(1).max(1)
    error = 0.0
    for k, n in enumerate(bins["rows"]):
        inside = (sure > bins["edges"][k]) & (sure <= bins["edges"][k + 1])
        assert int(inside.sum()) == n
        confidence, accuracy = bins["confidence"][k], bins["accuracy"][k]
        if n == 0:
            assert confidence is accuracy is None
            continue
        assert confidence == pytest.approx(float(sure[inside].mean()))
        right = (predicted == target)[inside].double()
        assert accuracy == pytest.approx(float(right.mean()))
        error += n / 300 * abs(confidence - accuracy)
    assert error == pytest.approx(ExpectedCalibrationError()(scores, target))


def test_a_metric_with_per_row_is_recognised() -> None:
    assert isinstance(FastAccuracy(), PerRow)
    assert not isinstance(Accuracy(), PerRow)


def test_mean_is_the_plain_mean_over_seeds_and_the_interval_is_reproducible() -> None:
    scores, target = seeds_with_accuracy([coin(200, p, s) for s, p in enumerate((0.7, 0.8, 0.9))])
    found = bootstrap(FastAccuracy(), scores, target, source=None)
    assert found.mean == pytest.approx(sum(Accuracy()(s, target) for s in scores) / 3)
    assert found.low < found.mean < found.high
    assert found == bootstrap(FastAccuracy(), scores, target, source=None)
    assert found != bootstrap(FastAccuracy(), scores, target, source=None, seed=1)


def test_an_interval_is_students_of_a_slow_bootstrap_and_of_the_seeds() -> None:
    """Sources drawn row by row, the seeds by their variance, pooled degrees of freedom."""
    scores, target = seeds_with_accuracy([coin(60, 0.8, s) for s in range(3)])
    source = torch.arange(60) // 4 * 10  # ids need not be consecutive
    generator, slow = torch.Generator().manual_seed(7), []
    for _ in range(4000):
        drawn = torch.randint(15, (15,), generator=generator).tolist()
        rows = torch.cat([torch.where(source == 10 * c)[0] for c in drawn])
        slow.append(sum(Accuracy()(s[rows], target[rows]) for s in scores) / 3)
    of_sources = 15 / 14 * torch.tensor(slow).var().item()
    plain = torch.tensor([Accuracy()(s, target) for s in scores])
    of_seeds = plain.var().item() / 3
    error = (of_sources + of_seeds) ** 0.5
    freedom = error**4 / (of_sources**2 / 14 + of_seeds**2 / 2)
    low, high = stats.t.interval(0.95, freedom, plain.mean().item(), error)
    found = bootstrap(FastAccuracy(), scores, target, source=source, resamples=4000)
    assert (found.low, found.high) == (pytest.approx(low, abs=3e-3), pytest.approx(high, abs=3e-3))


def test_fast_and_general_paths_agree() -> None:
    scores, target = seeds_with_accuracy([coin(60, 0.8, s) for s in range(3)])
    settings = {"source": torch.arange(60) // 4, "resamples": 150}
    fast = bootstrap(FastAccuracy(), scores, target, **settings)
    general = bootstrap(Accuracy(), scores, target, **settings)
    assert fast.low == pytest.approx(general.low)
    assert fast.high == pytest.approx(general.high)


@pytest.mark.parametrize("name", ["r2", "rmse", "mae", "micro-f1"])
def test_metrics_of_sums_are_what_the_metric_says_of_each_resample(name: str) -> None:
    metric = load_plugins().metrics[name]()
    assert isinstance(metric, PerRow | OfSums)
    draw = torch.Generator().manual_seed(0)
    scores = [torch.randn(80, 3, generator=draw) for _ in range(2)]
    target = torch.randn(80, 3, generator=draw)
    target = (target > 0).float() if name == "micro-f1" else 1000 + target
    sampler = Resampler(metric, scores, target, torch.arange(80) // 4)
    weights = torch.randint(3, (5, 20), generator=draw).double()
    fast = sampler.scores(weights)
    slow = torch.stack([sampler._score(w) for w in weights.long()])
    assert torch.allclose(fast, slow, atol=1e-9)


@pytest.mark.parametrize(("sources", "seeds"), [(3, 5), (6, 3), (200, 3)])
def test_an_interval_covers_as_often_as_it_says(sources: int, seeds: int) -> None:
    """Sources and seeds that differ, few of either; plain percentiles of three cover 80 %."""
    draw, covered = torch.Generator().manual_seed(sources), 0
    source = torch.arange(sources).repeat_interleave(3)
    target = torch.zeros(3 * sources)
    for _ in range(300):
        of_source = torch.randn(sources, generator=draw).repeat_interleave(3)
        of_seed = 0.1 * torch.randn(seeds, generator=draw)
        scores = [(of_source + s).unsqueeze(1) for s in of_seed]
        found = bootstrap(Level(), scores, target, source=source, resamples=200)
        covered += found.low <= 0 <= found.high
    assert covered / 300 == pytest.approx(0.95, abs=0.04)  # three standard errors


def test_of_one_source_or_seed_alone_nothing_is_known() -> None:
    """One seed adds nothing; of one source the rows stand in, with one degree of freedom."""
    scores, target = seeds_with_accuracy([coin(100, 0.6, 0)])
    one, own = (
        bootstrap(FastAccuracy(), scores, target, source=source)
        for source in (torch.zeros(100), None)
    )
    assert width(one) > 6 * width(own)
    assert spread_of_seeds([0.7]) == Spread(0.0, 0)


def test_estimates_pool_their_degrees_of_freedom() -> None:
    assert Estimate(1.0, [Spread(0.5, 4)]).freedom == pytest.approx(4)
    assert Estimate(1.0, [Spread(0.5, 4), Spread(0.5, 4)]).freedom == pytest.approx(8)
    assert Estimate(1.0, [Spread(1.0, 4), Spread(1e-9, 2)]).freedom == pytest.approx(4, rel=1e-6)
    found = Estimate(2.0, [Spread(1.0, 4)])
    assert found.p == pytest.approx(2 * stats.t.sf(2.0, 4))
    certain = Estimate(2.0, [Spread(0.0, 0)])
    assert certain.interval() == Interval(2.0, 2.0, 2.0)
    assert (certain.p, Estimate(0.0, []).p) == (0.0, 1.0)


def test_a_binomial_interval_is_as_wide_as_theory_says_and_covers() -> None:
    n, p, covered, widths = 400, 0.8, 0, []
    for seed in range(100):
        scores, target = seeds_with_accuracy([coin(n, p, seed)])
        found = bootstrap(FastAccuracy(), scores, target, source=None, resamples=300)
        covered += found.low <= p <= found.high
        widths.append(width(found))
    assert sum(widths) / 100 == pytest.approx(2 * 1.96 * (p * (1 - p) / n) ** 0.5, rel=0.05)
    assert 88 <= covered <= 99  # 95 expected; a deviation of 3 standard errors is 6.5


def test_rows_of_one_source_widen_the_interval() -> None:
    """Ten identical rows an image are worth one row: √10 times as wide."""
    scores, target = seeds_with_accuracy([coin(200, 0.7, 0).repeat_interleave(10)])
    rows = bootstrap(FastAccuracy(), scores, target, source=None)
    images = torch.arange(200).repeat_interleave(10)
    clusters = bootstrap(FastAccuracy(), scores, target, source=images)
    assert width(clusters) == pytest.approx(10**0.5 * width(rows), rel=0.15)


def test_seeds_that_disagree_widen_the_interval() -> None:
    agree, target = seeds_with_accuracy([coin(500, 0.8, 1)] * 3)
    differ, _ = seeds_with_accuracy([coin(500, p, 1) for p in (0.6, 0.8, 1.0)])
    same = bootstrap(FastAccuracy(), agree, target, source=None)
    spread = bootstrap(FastAccuracy(), differ, target, source=None)
    assert width(spread) > 3 * width(same)


class Bounded(FastAccuracy):
    best, worst = 1.0, 0.0


def test_who_is_right_everywhere_is_not_known_to_be_right_always() -> None:
    """Of a coin that falls right 19 times in 20, a third of 20 throws show nothing else."""
    covered = 0
    for seed in range(200):
        scores, target = seeds_with_accuracy([coin(20, 0.95, seed)])
        found = bootstrap(Bounded(), scores, target, source=None, resamples=300)
        covered += found.low <= 0.95 <= found.high
    assert covered >= 180
    right, target = seeds_with_accuracy([torch.ones(2, dtype=torch.bool)])
    wrong, _ = seeds_with_accuracy([torch.zeros(2, dtype=torch.bool)])
    gain = gain_estimate(Bounded(), right, wrong, target, None)
    assert gain.p > 0.05 and gain.interval().low < 0, "two rows show nothing"
    assert gain_estimate(Bounded(), right, right, target, None).error == 0


def test_no_interval_reaches_beyond_what_a_metric_can_be() -> None:
    scores, target = seeds_with_accuracy([coin(500, p, 1) for p in (0.9, 1.0, 1.0)])
    free = bootstrap(FastAccuracy(), scores, target, source=None)
    assert free.high > 1
    assert bootstrap(Bounded(), scores, target, source=None) == replace(free, high=1.0)
    scores, target = seeds_with_accuracy([coin(500, p, 1) for p in (0.1, 0.0, 0.0)])
    free = bootstrap(FastAccuracy(), scores, target, source=None)
    assert free.low < 0
    assert bootstrap(Bounded(), scores, target, source=None) == replace(free, low=0.0)


def test_pairing_cancels_what_is_hard_for_both() -> None:
    easy = coin(1000, 0.6, 0)
    better = easy | coin(1000, 0.1, 1)  # never wrong where the other is right
    a, target = seeds_with_accuracy([better] * 3)
    b, _ = seeds_with_accuracy([easy] * 3)
    gain = gain_estimate(FastAccuracy(), a, b, target, None).interval()
    assert gain.mean == pytest.approx(float(better.double().mean() - easy.double().mean()))
    assert 0 < gain.low < gain.mean < gain.high
    assert width(gain) < 0.6 * width(bootstrap(FastAccuracy(), a, target, source=None))
    reverse = gain_estimate(FastAccuracy(), b, a, target, None).interval()
    assert reverse.mean == pytest.approx(-gain.mean)
    assert reverse.high < 0


def test_a_positive_gain_is_better_whichever_way_the_metric_points() -> None:
    target = torch.linspace(0, 1, 100)
    near, far = [(target + 0.1)[:, None]], [(target + 0.3)[:, None]] * 2  # as many seeds as it has
    gain = gain_estimate(Error(), near, far, target, None).interval()
    assert gain == Interval(pytest.approx(0.2), pytest.approx(0.2), pytest.approx(0.2))


def test_resamples_without_a_defined_metric_are_left_out() -> None:
    class OnlyWithBoth(Accuracy):
        def __call__(self, scores: Tensor, target: Tensor) -> float:
            return super().__call__(scores, target) if len(target.unique()) == 2 else float("nan")

    scores, target = [torch.eye(2)[[0, 0, 1]]], torch.tensor([0, 0, 1])
    assert bootstrap(OnlyWithBoth(), scores, target, source=None) == Interval(1.0, 1.0, 1.0)


def test_rows_that_do_not_match_are_refused() -> None:
    scores, target = seeds_with_accuracy([coin(10, 0.5, 0)])
    with pytest.raises(ValueError, match="all of the target's 10 rows"):
        bootstrap(Accuracy(), [scores[0][:9]], target, source=None)
    with pytest.raises(ValueError, match="0 seeds"):
        bootstrap(Accuracy(), [], target, source=None)


def test_a_thousand_resamples_of_vqas_test_part_take_under_a_second() -> None:
    scores, target = seeds_with_accuracy([coin(9673, 0.98, s) for s in range(3)])
    start = time.process_time()
    bootstrap(FastAccuracy(), scores, target, source=torch.arange(9673) * 1000 // 9673)
    assert time.process_time() - start < 1.0
