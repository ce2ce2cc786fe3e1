"""A controlled comparison: what is equal, what is tested, what is left behind."""

import io
import itertools
import json
import random
from collections import Counter
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace

import pytest
import torch
from command_line import mmbench

from mmbench.campaign import concluding
from mmbench.campaign.places import Crew, Places
from mmbench.comparison.cells import _leading, headline
from mmbench.comparison.contestants import (
    ComparisonRequest,
    comparison_name,
    find_contestants,
    idle_contestants,
    tuning_specs,
)
from mmbench.comparison.draws import SharedDraws
from mmbench.comparison.job import Comparison
from mmbench.comparison.page import write_comparison
from mmbench.comparison.pictures import front
from mmbench.comparison.terminal import terminal_table
from mmbench.comparison.tuning import tune
from mmbench.comparison.verdicts import expected_best
from mmbench.contracts import Fusion
from mmbench.datasets.synthetic import Synergy
from mmbench.errors import Incompatible, InvalidParameter
from mmbench.evaluation.estimates import Estimate, Spread, spread_of_seeds
from mmbench.evaluation.moderated import moderated
from mmbench.evaluation.paired import Resampled, holm, mean_ranks, tukey
from mmbench.features import FeatureCache
from mmbench.fusions.concat import ConcatFusion
from mmbench.leaderboard.row_files import read_rows
from mmbench.leaderboard.site.comparison_file import read_comparisons
from mmbench.leaderboard.verify import verify
from mmbench.metrics.classification import Accuracy
from mmbench.metrics.regression import MeanAbsoluteError, Pearson
from mmbench.plugins import Plugins, load_plugins
from mmbench.search.finals import evaluate
from mmbench.search.jobs import work_on_jobs
from mmbench.spec import Component
from mmbench.trial import Workbench

SMALL = {"size": 300}
TRAIN = {"max_epochs": 2}


@pytest.fixture
def plugins() -> Plugins:
    """A set of its own, so that a test may add to it."""
    return load_plugins.__wrapped__()


def asked(
    plugins: Plugins, task: str = "synergy", *, budget: int = 3, **given
) -> ComparisonRequest:
    given = {
        "encoders": [],
        "fusions": ["concat", "product"],
        "heads": [],
        "objectives": [],
    } | given
    dataset = plugins.datasets[task]()
    contestants, encoders, _ = find_contestants(dataset.task, plugins, "cpu", **given)
    component = Component(task, {} if task == "vqa" else SMALL)
    return ComparisonRequest(component, contestants, encoders, "cpu", budget, 2, 0, TRAIN)


# Who takes part -------------------------------------------------------------------------------


def test_every_contestant_tries_the_same_number_of_settings_and_the_same_learning_rates(plugins):
    request = asked(plugins, fusions=["concat", "lowrank", "gated"], budget=5)
    rates = {}
    for contestant in request.contestants:
        specs = tuning_specs(request, contestant, plugins)
        if contestant.label != "majority":
            assert len({s.id for s in specs}) == 5
            rates[contestant.label] = [s.train.learning_rate for s in specs]
            assert {s.train.batch_size for s in specs} == {128}, "the batches are the same"
            assert {s.seed for s in specs} == {0}
    assert set(rates) == {"concat", "lowrank", "gated", "only-a", "only-b"}
    assert len({tuple(r) for r in rates.values()}) == 1 and len(set(rates["concat"])) == 5


def test_the_defaults_are_tried_first_and_a_larger_budget_only_adds(plugins):
    small, large = (asked(plugins, fusions=["concat", "lowrank"], budget=b) for b in (2, 6))
    lowrank = next(c for c in small.contestants if c.label == "lowrank")
    few, many = (tuning_specs(r, lowrank, plugins) for r in (small, large))
    assert many[:2] == few and few[0].fusion.params["rank"] == 4
    assert len({s.fusion.params["rank"] for s in many}) > 1
    version = plugins.datasets["synergy"]().version
    assert comparison_name(small, version, plugins) == comparison_name(large, version, plugins)


@pytest.mark.parametrize(
    ("image", "idlers"), [("hog", ["joint (concat)"]), ("cnn", [])], ids=["frozen", "training"]
)
def test_a_paradigm_that_finds_nothing_to_act_on_is_known(plugins, image, idlers):
    chosen = [f"image={image}", "question=tfidf"]
    request = asked(plugins, "vqa", fusions=[], objectives=["joint"], encoders=chosen)
    assert idle_contestants(request, plugins) == idlers
    frozen = {m: Component(c.name, {"frozen": True}) for m, c in request.encoders.items()}
    kept = replace(request, encoders=frozen)
    assert idle_contestants(kept, plugins) == ["joint (concat)"], "frozen by a setting"


def test_majority_has_nothing_to_tune(plugins):
    request = asked(plugins)
    majority = next(c for c in request.contestants if c.label == "majority")
    assert len(tuning_specs(request, majority, plugins)) == 1


def test_all_get_sequence_encoders_where_one_contestant_needs_them(plugins):
    plain = asked(plugins, "vqa")
    attending = asked(plugins, "vqa", fusions=["concat", "cross-attention"])
    assert plain.encoders["question"].name == "bag-of-words"
    assert plugins.encoders[attending.encoders["question"].name].emits_sequences
    for contestant in attending.contestants:
        for spec in tuning_specs(attending, contestant, plugins):
            assert all(c.name == attending.encoders[m].name for m, c in spec.encoders.items())


def test_the_encoders_settings_are_those_of_all(plugins):
    request = asked(plugins, "vqa")
    small = {**request.encoders, "image": Component("cnn", {"depth": 4})}
    for contestant in (given := replace(request, encoders=small)).contestants:
        for spec in tuning_specs(given, contestant, plugins):
            assert all(e.params["depth"] == 4 for m, e in spec.encoders.items() if m == "image")
    assert comparison_name(given, "1", plugins) != comparison_name(request, "1", plugins)


def test_paradigms_are_compared_with_the_plain_one_on_concat(plugins):
    request = asked(plugins, fusions=[], objectives=["joint"])
    labels = [c.label for c in request.contestants if not c.reference]
    assert labels == ["joint (concat)", "plain (concat)"]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"fusions": ["concat"]}, Incompatible, "two contestants or more"),
        ({"heads": ["linear", "mlp"]}, InvalidParameter, "one head for all"),
        ({"fusions": ["majority", "concat"]}, InvalidParameter, "is a baseline"),
    ],
)
def test_what_cannot_be_compared_is_refused(plugins, given, error, message):
    with pytest.raises(error, match=message):
        asked(plugins, **given)


def test_draws_depend_on_seed_trial_and_name_alone_and_cover_their_range():
    one, again = SharedDraws(0, 3), SharedDraws(0, 3)
    assert one.suggest_float("a", 0, 1) == again.suggest_float("a", 0, 1)
    assert one.suggest_float("b", 0, 1) != again.suggest_float("a", 0, 1)
    many = [SharedDraws(0, i) for i in range(2000)]
    shares = [
        sum(d.suggest_int("n", 1, 4, log=True) == n for d in many) / 2000 for n in range(1, 5)
    ]
    # 1 has the interval from 0.5 to 1.5 of a logarithmic axis from 0.5 to 4.5
    assert shares == pytest.approx([0.5, 0.232, 0.153, 0.114], abs=0.04)
    floats = sorted(d.suggest_float("x", 1e-3, 1e1, log=True) for d in many)
    assert floats[1000] == pytest.approx(1e-1, rel=0.3) and 1e-3 <= floats[0] < floats[-1] <= 1e1
    assert {d.suggest_categorical("c", ["p", "q"]) for d in many} == {"p", "q"}


# What is tested -------------------------------------------------------------------------------


def scores_that_are_right(right: torch.Tensor) -> torch.Tensor:
    """Two-class scores for targets of all zeros, right where ``right`` says so."""
    return torch.stack([right.float(), 1 - right.float()], dim=1)


def test_a_small_but_paired_difference_is_found_where_unpaired_intervals_overlap():
    draws = torch.Generator().manual_seed(0)
    hard = torch.rand(2000, generator=draws) < 0.3
    better = hard & (torch.rand(2000, generator=draws) < 0.1)  # solves a few of the hard ones
    scores = {
        "one": [scores_that_are_right(~hard | better)] * 3,
        "other": [scores_that_are_right(~hard)] * 3,
    }
    resampled = Resampled(Accuracy(), scores, torch.zeros(2000, dtype=torch.long), None)
    found = resampled.difference("one", "other")
    assert found.gain.mean == pytest.approx(better.float().mean().item())
    assert found.gain.low > 0 and found.p < 0.001
    spread = resampled.drawn["other"].quantile(0.975) - resampled.drawn["one"].quantile(0.025)
    assert spread > 0, "their own intervals overlap"


def test_the_luck_of_a_seed_that_both_share_cancels_out():
    """One is right on three more rows than the other, on every seed, good or bad."""
    counts = (20, 40, 60, 80)
    scores = {
        name: [scores_that_are_right(torch.arange(100) < n + more) for n in counts]
        for name, more in (("one", 3), ("other", 0))
    }
    resampled = Resampled(Accuracy(), scores, torch.zeros(100, dtype=torch.long), None)
    found = resampled.estimate("one", "other")
    of_sources, of_seeds = found.spreads
    assert found.mean == pytest.approx(0.03)
    assert of_seeds.variance == pytest.approx(0.0)
    each = torch.zeros(100)
    each[:12] = 1 / 4  # on one of the seeds the two differ there
    assert of_sources.variance == pytest.approx(float(each.var()) / 100, rel=0.15)


def test_equal_predictions_do_not_differ():
    right = scores_that_are_right(torch.rand(300) < 0.5)
    scores = {"one": [right] * 2, "other": [right] * 2}
    resampled = Resampled(Accuracy(), scores, torch.zeros(300, dtype=torch.long), None)
    found = resampled.difference("one", "other")
    assert found.p == 1.0 and found.gain.low == found.gain.high == 0.0


def test_under_no_difference_p_is_small_no_more_often_than_it_says():
    """Two configurations that are right by chance alone: the test keeps its level."""
    draws, rejected = torch.Generator().manual_seed(1), 0
    for _ in range(200):
        scores = {
            name: [scores_that_are_right(torch.rand(80, generator=draws) < 0.5) for _ in range(3)]
            for name in ("one", "other")
        }
        target = torch.zeros(80, dtype=torch.long)
        resampled = Resampled(Accuracy(), scores, target, None, resamples=400)
        rejected += resampled.difference("one", "other").p < 0.05
    assert rejected <= 200 * 0.1


def test_seeds_that_disagree_make_a_difference_uncertain():
    target = torch.zeros(500, dtype=torch.long)
    good, bad = torch.ones(500, dtype=torch.bool), torch.arange(500) >= 100
    scores = {
        "shaky": [scores_that_are_right(g) for g in (good, good, bad)],
        "steady": [scores_that_are_right(torch.arange(500) >= 25)] * 3,
    }
    found = Resampled(Accuracy(), scores, target, None).difference("shaky", "steady")
    assert found.p > 0.05 and found.gain.low < 0 < found.gain.high


def test_majority_is_worse_on_a_metric_that_is_no_mean_over_rows_however_many_are_compared():
    draws = torch.Generator().manual_seed(0)
    target = torch.randn(300, generator=draws)
    noisy = [[(target + 0.1 * torch.randn(300, generator=draws))[:, None] for _ in range(3)]]
    scores = {f"good {i}": noisy[0] for i in range(60)} | {"mean": [torch.zeros(300, 1)] * 3}
    resampled = Resampled(Pearson(), scores, target, None)
    assert (
        holm({n: resampled.difference(n, "mean").p for n in scores if n != "mean"})["good 0"] < 1e-6
    )


def test_an_error_is_better_when_it_is_lower():
    target = torch.zeros(100, 1)
    scores = {"small": [torch.full((100, 1), 0.1)] * 2, "large": [torch.ones(100, 1)] * 2}
    found = Resampled(MeanAbsoluteError(), scores, target, None).difference("small", "large")
    assert found.gain.mean == pytest.approx(0.9) and found.gain.low > 0


def test_configurations_must_have_the_same_seeds():
    one = scores_that_are_right(torch.ones(4))
    with pytest.raises(ValueError, match="same seeds"):
        Resampled(Accuracy(), {"a": [one], "b": [one, one]}, torch.zeros(4).long(), None)


def test_holm_is_the_step_down_of_its_paper():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06}
    )
    assert holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0} and holm({}) == {}


def test_the_best_of_two_is_a_pair_and_of_many_what_their_range_says():
    estimate = Estimate(0.3, [Spread(0.01, 12)])
    assert tukey(estimate, 2) == pytest.approx(estimate.p, rel=1e-3)
    assert estimate.p < tukey(estimate, 3) < tukey(estimate, 30)
    assert tukey(Estimate(-0.3, estimate.spreads), 30) == tukey(estimate, 30)
    assert tukey(Estimate(0.0, []), 5) == 1.0


def test_of_equals_hardly_any_is_taken_to_be_worse_than_the_best():
    """Thirty that are right by chance alone: the best was chosen by the scores that are tested."""
    draws, any_worse = torch.Generator().manual_seed(2), 0
    target = torch.zeros(200, dtype=torch.long)
    for _ in range(40):
        scores = {
            str(i): [scores_that_are_right(torch.rand(200, generator=draws) < 0.5)] * 2
            for i in range(30)
        }
        resampled = Resampled(Accuracy(), scores, target, None, resamples=200)
        best = max(resampled.plain, key=resampled.plain.__getitem__)
        worst = min(resampled.plain, key=resampled.plain.__getitem__)
        any_worse += tukey(resampled.estimate(worst, best), 30) < 0.05
    assert any_worse <= 40 * 0.15


def test_of_equals_on_few_seeds_hardly_any_two_are_told_apart_and_what_differs_is_found():
    """Seeds matter alone, and are three: now and then they lie close together."""
    draws, least, found = random.Random(0), Counter(), Counter()
    for _ in range(100):
        scores = [[draws.gauss(0, 1) for _ in range(3)] for _ in range(20)]
        pairs = over_seeds(scores, max(scores, key=sum))
        far = over_seeds([scores[0], *([s + 5 for s in own] for own in scores[1:])], scores[0])
        for how in (dict, moderated):
            most = max(how(pairs).values(), key=lambda e: abs(e.mean) / e.error)
            least[how] += tukey(most, 20) < 0.05
            found[how] += sum(
                p < 0.05 for p in holm({n: e.p for n, e in how(far).items()}).values()
            )
    assert least[moderated] <= 8 < 12 <= least[dict]
    assert found[moderated] > 2 * found[dict] > 0


def over_seeds(scores, other):
    """Each difference to ``other``, in which the seeds alone matter."""
    gaps = [[a - b for a, b in zip(own, other, strict=True)] for own in scores if own is not other]
    return {
        str(i): Estimate(fmean(gap), [Spread(0.0, 0), spread_of_seeds(gap)])
        for i, gap in enumerate(gaps)
    }


def test_a_moderated_variance_lies_between_its_own_and_the_usual_one():
    own = {str(i): Spread(v, 2) for i, v in enumerate((0.01, 0.9, 1.0, 1.1, 30.0))}
    pairs = {n: Estimate(1.0, [Spread(0.5, 99), spread]) for n, spread in own.items()}
    found = {n: e.spreads[-1] for n, e in moderated(pairs).items()}
    assert found["0"].variance > 0.01 and found["4"].variance < 30
    assert len({s.freedom for s in found.values()}) == 1 and 2 < found["0"].freedom < 8
    assert all(e.mean == 1.0 and e.spreads[0] == Spread(0.5, 99) for e in moderated(pairs).values())
    alike = {n: Estimate(1.0, [Spread(0.5, 99), Spread(1.0, 2)]) for n in "abcd"}
    assert {e.spreads[-1].freedom for e in moderated(alike).values()} == {8}
    assert moderated({"a": pairs["0"], "b": pairs["4"]}) == {"a": pairs["0"], "b": pairs["4"]}
    still = {n: Estimate(0.0, [Spread(0.5, 99), Spread(0.0, 2)]) for n in "abc"}
    assert moderated(still) == still and moderated({}) == {}


def test_mean_ranks_share_ties_and_follow_the_metric():
    per_seed = {"a": [0.9, 0.5], "b": [0.9, 0.7], "c": [0.1, 0.6]}
    assert mean_ranks(per_seed, higher_is_better=True) == {"a": 2.25, "b": 1.25, "c": 2.5}
    assert mean_ranks(per_seed, higher_is_better=False) == {"a": 1.75, "b": 2.75, "c": 1.5}


@pytest.mark.parametrize("higher", [True, False])
def test_the_expected_best_is_the_mean_over_all_subsets(higher):
    first, *rest = scores = [0.4, 0.1, 0.7, 0.5, 0.3]
    best = max if higher else min
    for n, value in enumerate(expected_best(scores, higher_is_better=higher)):
        subsets = list(itertools.combinations(rest, n))
        assert value == pytest.approx(sum(best([first, *s]) for s in subsets) / len(subsets))


def test_a_trial_that_failed_is_a_trial_that_brought_nothing():
    assert expected_best([None, 0.4, 0.6], higher_is_better=True) == pytest.approx([0.4, 0.5, 0.6])
    assert expected_best([0.3, None], higher_is_better=False) == [0.3, 0.3]
    assert expected_best([None, None], higher_is_better=True) == []


def test_a_contestant_that_is_left_alone_beats_nobody():
    verdict = SimpleNamespace(label="concat", reference=False, leads=True, yardstick=None)
    outcome = SimpleNamespace(verdicts=[verdict], rows={"concat": SimpleNamespace(gain=None)})
    assert headline(outcome)[0] == ("concat alone finished: there is nothing to compare it with.")


@pytest.mark.parametrize(
    ("labels", "leaders", "said"),
    [
        ("ab", 1, "a is better than b."),
        ("abc", 1, "a is better than each of the 2 others."),
        ("ab", 2, "a and b are not shown to differ."),
        ("abc", 2, "a has the best mean, 0.500; one of the 2 others is not shown to be worse."),
        ("abcd", 3, "a has the best mean, 0.500; 2 of the 3 others are not shown to be worse."),
    ],
)
def test_the_first_line_says_who_leads_and_who_is_not_shown_to_be_worse(
    labels: str, leaders: int, said: str
) -> None:
    found = [SimpleNamespace(label=label, score=0.5) for label in labels]
    assert _leading(found[:leaders], found) == said  # type: ignore[arg-type]


def test_the_front_holds_what_nothing_beats_in_cost_and_score():
    points = [(1.0, 0.5, "cheap"), (2.0, 0.4, "beaten"), (3.0, 0.9, "good"), (3.0, 0.8, "tied")]
    assert [p[2] for p in front(points, higher_is_better=True)] == ["cheap", "good"]
    assert [p[2] for p in front(points, higher_is_better=False)] == ["cheap", "beaten"]
    equal = [*points, (3.0, 0.9, "as good"), (4.0, 0.9, "dearer")]
    assert [p[2] for p in front(equal, higher_is_better=True)] == ["cheap", "as good", "good"]


# The whole job, in this process ---------------------------------------------------------------


class Inline:
    """A pool whose one worker is this process."""

    def __init__(self, arguments, plugins, bench) -> None:
        named = [a for a in arguments if a != "--no-diagnoses"]  # the only option without a value
        pairs = list(zip(named[2::2], named[3::2], strict=True))
        self.jobs = {
            o: [Path(v) for option, v in pairs if option == o] for o in ("--tune", "--job")
        }
        self.plugins, self.bench = plugins, bench

    def start(self):
        finals = partial(evaluate, diagnose=False)
        for option, run in (("--tune", tune), ("--job", finals)):
            work_on_jobs(
                self.jobs[option], run(self.plugins, self.bench), lambda: False, self.plugins, 16
            )
        return self

    def alive(self) -> bool:
        return False

    def stop(self) -> None:
        pass

    def warnings(self) -> list[str]:
        return []


class Silent:
    def __getattr__(self, _name):
        return lambda *_: None


class BrokenWhenTrained(ConcatFusion):
    name = "broken"

    def forward(self, features):
        raise RuntimeError("a bug of this fusion")


@pytest.fixture
def measured_once(monkeypatch):
    """Costs are not what is tested here: one is measured, and stands for all."""
    real = cache(lambda folder: concluding_measure(folder, "cpu", 1))
    concluding_measure = concluding.measure_in_fresh_process
    first = {}

    def measure(folder, device, threads):
        first.setdefault("folder", folder)
        return real(first["folder"])

    monkeypatch.setattr(concluding, "measure_in_fresh_process", measure)


def comparison(request, plugins, tmp_path, monkeypatch) -> Comparison:
    bench = Workbench(torch.device("cpu"), FeatureCache(tmp_path / "features"))
    job = Comparison(
        request, Places(tmp_path / "runs", tmp_path / "boards"), Crew(1, 1), plugins, Silent()
    )
    monkeypatch.setattr(job, "pool", lambda arguments, _: Inline(arguments, plugins, bench))
    return job


def test_a_contestant_that_fails_is_named_and_stops_nobody(
    plugins, tmp_path, monkeypatch, measured_once
):
    plugins.fusions.add(BrokenWhenTrained, "test")
    request = asked(plugins, fusions=["broken", "concat", "product"], budget=2)
    outcome = comparison(request, plugins, tmp_path, monkeypatch).run()
    assert outcome.failures == {"broken": "RuntimeError: a bug of this fusion"}
    assert set(outcome.rows) == {"concat", "product", "majority", "only-a", "only-b"}
    page = write_comparison(tmp_path / "page", outcome, {"x": "why"}, ["mmbench", "compare"])
    assert "a bug of this fusion" in page.read_text() and "## Left out" in page.read_text()
    assert [shown(outcome, width) for width in (40, 60, 200)] == [
        "on test", "verdict", "fusion's parameters"
    ]  # fmt: skip
    outcome.rows["product"].cost["flags"] = ["contended"]
    disturbed = write_comparison(tmp_path / "page", outcome, {}, ["mmbench", "compare"])
    caption = terminal_table(outcome, 200).caption
    for text in (disturbed.read_text(), getattr(caption, "plain", "")):
        assert "‡ While this latency was measured" in text and "other work was using" in text
    outcome.rows["product"].cost["flags"] = []
    outcome.rows["concat"].cost["flags"] = ["contended"]
    relative = write_comparison(tmp_path / "page", outcome, {}, ["mmbench", "compare"])
    assert relative.read_text().count("× ‡ |") == len(outcome.rows)
    columns = {str(c.header): list(c.cells) for c in terminal_table(outcome, 200).columns}
    assert all(str(cell).endswith("× ‡") for cell in columns["×\nconcat"])


def shown(outcome, width: int) -> str:
    """The last column on a terminal so wide, on which no figure is cut."""
    from rich.console import Console

    table = terminal_table(outcome, width)
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(table)
    text = console.export_text()
    figures = [c for c in table.columns if c.no_wrap]
    lines = [line for c in figures for cell in c.cells for line in str(cell).splitlines()]
    assert "…" not in text and [line for line in lines if line not in text] == []
    return table.columns[-1].header.replace("\n", " ")


def test_tuning_never_loads_the_test_part(plugins, tmp_path, monkeypatch):
    class Poisoned(Synergy):
        name = "poisoned"

        def load(self, part):
            assert part != "test", "tuning looked at the test part"
            return super().load(part)

    plugins.datasets.add(Poisoned, "test")
    job = comparison(asked(plugins, "poisoned", budget=2), plugins, tmp_path, monkeypatch)
    trials = {c.label: tuning_specs(job.request, c, plugins) for c in job.request.contestants}
    tuned = job._tune(trials)
    assert all("value" in result for result in tuned.values()), "no trial needed the test part"


# From the command line ------------------------------------------------------------------------

COMPARE = [
    "compare", "--task", "synergy", "--fusions", "concat,product", "--budget", "2",
    "--seeds", "2", "--workers", "1", "--set", "task.size=300", "--set", "train.max_epochs=3",
]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    done = mmbench(home, *COMPARE)
    assert done.returncode == 0, done.stderr
    (home / "printed").write_text(done.stdout)
    return home


def test_what_is_printed_answers_the_question(home):
    printed = (home / "printed").read_text()
    assert "product is better than concat" in printed
    assert "majority" in printed and "only-a" in printed and "Against concat" in printed


def test_page_pictures_rows_and_figures_lie_together(home):
    folder = home / "leaderboards" / "comparisons" / "synergy-fusions"
    page = (folder / "README.md").read_text()
    for picture in ("accuracy-latency.svg", "accuracy-memory.svg", "best-after-n.svg"):
        assert f"({picture})" in page and "<svg" in (folder / picture).read_text()
    rows, problems = read_rows(folder / "rows")
    assert not problems and len(rows) == 5
    assert all(f"rows/synergy/{row.id}.json" in page for row in rows)
    document = json.loads((folder / "comparison.json").read_text())
    by_label = {v["label"]: v["row"] for v in document["verdicts"]}
    histories = {row.id: row.search["history"] for row in rows}
    assert {label: histories[by_label[label]] for label in by_label} == document["tuning"]
    assert len(document["tuning"]["concat"]) == 2, "every trial is listed, not the best alone"
    for checked in verify([folder / "rows"], load_plugins()):
        assert not checked.problems and "predictions are not here" in " ".join(checked.notes)
    (line,) = (
        line
        for line in (folder.parent / "README.md").read_text().splitlines()
        if line.startswith(f"| [{folder.name}]")
    )
    contestants = [v for v in document["verdicts"] if not v["reference"]]
    _, n, best, leading, plain, single = (cell.strip() for cell in line.strip("|").split("|"))
    assert (int(n), best.split(",")[0]) == (len(contestants), contestants[0]["label"])
    assert int(leading) == sum(v["leads"] for v in contestants) - 1
    assert sum(map(int, plain.split(" / "))) == len(contestants) - 1, "all but concat itself"
    assert sum(map(int, single.split(" / "))) == len(contestants)
    product = next(v for v in document["verdicts"] if v["label"] == "product")
    assert product["yardstick"]["other"] == "concat" and product["leads"]
    assert product["yardstick"]["p_corrected"] >= product["yardstick"]["p"]
    assert len(product["best_after"]) == 2


def test_the_site_reads_a_comparison_as_it_was_just_written(home):
    (read,), problems = read_comparisons(home / "leaderboards" / "comparisons")
    assert not problems and read.name == "synergy-fusions" and read.task == "synergy"
    assert {c["label"] for c in read.contestants} == {
        "concat", "product", "majority", "only-a", "only-b",
    }  # fmt: skip
    assert set(read.rows) == {c["row"] for c in read.contestants}


def test_a_comparison_is_no_part_of_the_board_of_a_search(home):
    rows, _ = read_rows(home / "leaderboards")
    assert rows == []


def test_the_same_command_trains_nothing_again_and_a_larger_budget_only_what_is_new(home):
    (tuning,) = home.glob("runs/*/tuning")
    before = {p: p.stat().st_mtime_ns for p in tuning.glob("*/result.json")}
    longer = [a if a != "2" or COMPARE[i - 1] != "--budget" else "3" for i, a in enumerate(COMPARE)]
    done = mmbench(home, *longer, "--json")
    assert done.returncode == 0, done.stderr
    after = {p: p.stat().st_mtime_ns for p in tuning.glob("*/result.json")}
    assert before.items() <= after.items() and len(after) == len(before) + 4
    assert json.loads(done.stdout)["request"]["budget"] == 3


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--fusions", "concat,prodct"], "Did you mean 'product'"),
        (["--task", "synergi"], "Did you mean 'synergy'"),
        (["--encoder", "a=cnn"], "reads image"),
        (["--objectives", "joynt"], "Did you mean 'joint'"),
    ],
)
def test_mistakes_end_with_a_message_and_code_2(tmp_path, wrong, said):
    done = mmbench(tmp_path, "compare", "--task", "synergy", *wrong)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr


def test_a_fusion_that_cannot_take_part_is_left_out_with_its_reason(plugins):
    _, _, dropped = find_contestants(
        plugins.datasets["synergy"]().task, plugins, "cpu",
        encoders=[], fusions=["concat", "product", "mult"], heads=[], objectives=[],
    )  # fmt: skip
    assert "attends over tokens" in dropped["mult"]
    assert issubclass(plugins.fusions["mult"], Fusion)
