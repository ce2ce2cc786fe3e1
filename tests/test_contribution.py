"""Contributions of modalities against slow formulas and models whose answer is known."""

import json
import math
from collections.abc import Callable, Sequence
from itertools import combinations, permutations, product
from pathlib import Path

import pytest
import torch
from test_leaderboard import make_row
from torch import Tensor

from mmbench.evaluation.averaging import averaged
from mmbench.evaluation.contribution import contribution
from mmbench.evaluation.contribution.clusters import clustering
from mmbench.evaluation.contribution.emap import additive_projection, largest_prime
from mmbench.evaluation.contribution.gradients import gradient_share
from mmbench.evaluation.contribution.missing import only
from mmbench.evaluation.contribution.shapley import Subset, shapley, subsets
from mmbench.final import evaluate_seed
from mmbench.leaderboard.diagnoses import Contribution, Representation
from mmbench.leaderboard.rank import rank
from mmbench.leaderboard.render import markdown
from mmbench.plugins import load_plugins
from mmbench.shape import read_as
from mmbench.spec import Component, TrainSpec, TrialSpec
from mmbench.trial import TrialResult, Workbench, main_metric, run_trial
from mmbench.types import MISSING, Column, Encoded, Split


def random_game(players: Sequence[str], seed: int = 0) -> Callable[[Subset], float]:
    draw = torch.Generator().manual_seed(seed)
    worth = {s: float(torch.randn((), generator=draw)) for s in subsets(players)}
    return worth.__getitem__


def over_all_orders(players: Sequence[str], game: Callable[[Subset], float]) -> dict[str, float]:
    """What each adds on joining, averaged over all orders of joining."""
    values = dict.fromkeys(players, 0.0)
    for order in permutations(players):
        for i, player in enumerate(order):
            before = tuple(p for p in players if p in order[:i])
            after = tuple(p for p in players if p in order[: i + 1])
            values[player] += (game(after) - game(before)) / math.factorial(len(players))
    return values


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_shapley_is_the_mean_over_all_orders_and_efficient(n: int) -> None:
    players = [f"m{i}" for i in range(n)]
    game = random_game(players)
    values = shapley(players, game)
    assert values == pytest.approx(over_all_orders(players, game))
    assert sum(values.values()) == pytest.approx(game(tuple(players)) - game(()))


def test_shapley_is_symmetric_and_a_dummy_gets_nothing() -> None:
    values = shapley(["a", "b", "idle"], lambda s: float({"a", "b"} <= set(s)))
    assert values == pytest.approx({"a": 0.5, "b": 0.5, "idle": 0.0})


def test_beyond_six_players_orders_are_drawn_and_the_sum_still_holds() -> None:
    players = [f"m{i}" for i in range(7)]
    game = random_game(players)
    drawn, exact = shapley(players, game), over_all_orders(players, game)
    assert sum(drawn.values()) == pytest.approx(game(tuple(players)) - game(()))
    assert max(abs(drawn[p] - exact[p]) for p in players) < 0.75  # √2 / √32 is 0.25
    additive = shapley(players, lambda s: float(sum(int(p[1]) for p in s)))
    assert additive == pytest.approx({p: int(p[1]) for p in players})


def test_orders_played_backwards_as_well_are_exact_where_players_act_in_pairs() -> None:
    """In one of the two orders the one joins first, in the other the other: half each."""
    players = [f"m{i}" for i in range(7)]
    draw = torch.Generator().manual_seed(0)
    worth = {pair: torch.randn((), generator=draw).item() for pair in combinations(players, 2)}
    drawn = shapley(players, lambda s: sum(worth[pair] for pair in combinations(s, 2)))
    half = {p: sum(w for pair, w in worth.items() if p in pair) / 2 for p in players}
    assert drawn == pytest.approx(half)


def over_all_combinations(f: Callable[..., Tensor], values: Sequence[Tensor]) -> Tensor:
    """Σ_m E f(x_m, others) − (M − 1) E f, by a loop over all n^M combinations of rows."""
    rows, m = len(values[0]), len(values)
    alone, mean = torch.zeros(m, rows), 0.0
    for chosen in product(range(rows), repeat=m):
        out = float(f(*(v[i] for v, i in zip(values, chosen, strict=True))))
        mean += out / rows**m
        for modality, row in enumerate(chosen):
            alone[modality, row] += out / rows ** (m - 1)
    return alone.sum(0) - (m - 1) * mean


def projected(f: Callable[..., Tensor], values: Sequence[Tensor], at_once: int = 20) -> Tensor:
    def mixed(taken: Sequence[Tensor]) -> Tensor:
        picked = [v[rows] for v, rows in zip(values, taken, strict=True)]
        return torch.as_tensor(f(*picked)).unsqueeze(1)

    return additive_projection(mixed, len(values[0]), len(values), at_once)[:, 0]


def columns(modalities: int, rows: int) -> list[Tensor]:
    draw = torch.Generator().manual_seed(3)
    return [torch.randn(rows, generator=draw) for _ in range(modalities)]


def test_emap_of_two_modalities_is_that_of_all_pairs() -> None:
    values = columns(2, 8)
    f = lambda x, y: torch.sin(2 * x * y) + x
    torch.testing.assert_close(projected(f, values), over_all_combinations(f, values))


def test_emap_of_three_is_near_that_of_all_combinations() -> None:
    values = columns(3, 61)
    f = lambda x, y, z: torch.sin(x * y) + torch.tanh(y - z) + x * z + z
    every = f(values[0][:, None, None], values[1][:, None], values[2])  # (61, 61, 61)
    alone = [every.mean(dim) for dim in ((1, 2), (0, 2), (0, 1))]
    exact = sum(alone) - 2 * every.mean()
    few = [v[:7] for v in values]
    small = f(few[0][:, None, None], few[1][:, None], few[2])
    slow = sum(small.mean(dim) for dim in ((1, 2), (0, 2), (0, 1))) - 2 * small.mean()
    torch.testing.assert_close(over_all_combinations(f, few), slow)
    assert (projected(f, values) - exact).std() < 0.25 * exact.std()


@pytest.mark.parametrize("modalities", [1, 2, 3, 5])
def test_an_additive_function_is_its_own_projection(modalities: int) -> None:
    values = columns(modalities, 11)
    f = lambda *xs: sum(torch.sin(i * x) for i, x in enumerate(xs, 1))
    torch.testing.assert_close(projected(f, values), f(*values))


def test_emap_needs_a_prime_number_of_rows_beyond_pairs() -> None:
    assert [largest_prime(n) for n in (1, 2, 4, 251, 255)] == [0, 2, 3, 251, 251]
    with pytest.raises(ValueError, match="prime"):
        projected(lambda x, y, z: x + y + z, columns(3, 8))


def trained(fusion: str, task: str = "synergy", **task_params: float) -> TrialResult:
    spec = TrialSpec(
        task=Component(task, {"size": 600, "noise": 0.3, "dim": 4, **task_params}),
        encoders=dict.fromkeys("ab", Component("mlp")),
        fusion=Component(fusion),
        head=Component("mlp"),
        train=TrainSpec(max_epochs=12, learning_rate=1e-2),
    )
    return run_trial(spec, load_plugins(), Workbench(torch.device("cpu")))


def report(result: TrialResult) -> dict:
    resolved = result.trained.resolved
    metric = main_metric(resolved, load_plugins())
    found = contribution(result.trained.model, result.ready_test, resolved.task, metric)
    assert found is not None
    return found


def test_exclusive_or_is_interaction_and_both_share_it() -> None:
    result = trained("product")
    found = report(result)
    assert found["subsets"]["a+b"] > 0.95
    assert found["emap"] < 0.65 and found["interaction"] > 0.3
    assert found["shapley"]["a"] == pytest.approx(found["shapley"]["b"], abs=0.1)
    assert sum(found["shapley"].values()) == pytest.approx(
        found["subsets"]["a+b"] - found["subsets"][""]
    )
    assert found["rows"] == len(result.test) and found["weights"] is None


def test_a_modality_of_noise_brings_nothing_and_decisions_add_up() -> None:
    found = report(trained("late-average", "unique"))
    assert found["shapley"]["a"] > 0.4 and abs(found["shapley"]["b"]) < 0.05
    assert found["interaction"] == pytest.approx(0.0, abs=1e-9)  # a mean of heads is additive
    assert found["weights"] == pytest.approx({"a": 0.5, "b": 0.5})


def test_missing_features_are_those_of_a_column_that_says_missing() -> None:
    result = trained("gated")
    model, split = result.trained.model, result.ready_test.rows(torch.arange(5))
    column = Column(split.columns["b"].values, torch.full((5,), MISSING))
    with torch.no_grad():
        asked = model(split.with_column("b", column)).scores
        found = model.respond(only(model.encode(split), ["a"])).scores
    torch.testing.assert_close(found, asked)


def test_gradient_share_of_an_ignored_modality_is_zero() -> None:
    result = trained("concat")
    model, split = result.trained.model, result.ready_test.rows(torch.arange(40))
    with torch.no_grad():
        features = model.encode(split)
    share = gradient_share(model, features, split.target, "classification")
    assert sum(share.values()) == pytest.approx(1.0) and min(share.values()) > 0.1
    slow = {m: [] for m in features}
    for row in range(len(split)):
        pooled = {m: f.pooled[[row]].clone().requires_grad_() for m, f in features.items()}
        one = {m: Encoded.vector(p) for m, p in pooled.items()}
        scores = model.respond(one).scores
        torch.nn.functional.cross_entropy(scores, split.target[[row]]).backward()
        for m, p in pooled.items():
            slow[m].append(float(p.grad.norm()))
    assert share["a"] == pytest.approx(sum(slow["a"]) / (sum(slow["a"]) + sum(slow["b"])), rel=1e-4)
    ignoring = _ignoring(model, "b")
    assert gradient_share(ignoring, features, split.target, "classification") == {"a": 1, "b": 0}
    nothing = _ignoring(ignoring, "a")
    assert gradient_share(nothing, features, split.target, "classification") == {"a": 0, "b": 0}


def _ignoring(model, modality):
    class Ignoring:
        def respond(self, features):
            kept = {**features, modality: features[modality].without(torch.tensor([True]))}
            kept[modality] = Encoded.vector(torch.zeros_like(features[modality].pooled))
            return model.respond(kept)

    return Ignoring()


def test_clusters_of_separate_classes_are_found_and_those_of_noise_are_not() -> None:
    draw = torch.Generator().manual_seed(0)
    target, noise = torch.arange(60) % 3, torch.randn(60, 2, generator=draw)
    apart = clustering(20 * torch.nn.functional.one_hot(target)[:, :2] + noise, target)
    assert apart is not None and apart["nmi"] == apart["ari"] == pytest.approx(1.0)
    assert apart["silhouette"] > 0.8
    mixed = clustering(noise, target)
    assert mixed is not None and mixed["nmi"] < 0.2 and mixed["silhouette"] < 0.1
    assert clustering(noise, torch.zeros(60, dtype=torch.long)) is None
    assert clustering(torch.ones(60, 2), target)["nmi"] == 0.0  # fused vectors that collapsed


def test_mutual_information_is_over_the_mean_of_both_entropies() -> None:
    target = torch.arange(60).ge(50).long()  # 50 and 10; of the clusters 30 and 30
    found = clustering(torch.arange(60).ge(30).double().unsqueeze(1), target)
    h = torch.special.entr
    classes, joint = h(torch.tensor([5 / 6, 1 / 6])).sum(), h(torch.tensor([3, 2, 1]) / 6).sum()
    clusters = math.log(2)
    mean = (classes + clusters) / 2
    assert found["nmi"] == pytest.approx(float((classes + clusters - joint) / mean), abs=1e-6)


def test_averaging_documents() -> None:
    first = {"rows": 3, "x": {"a": 1.0, "b": None}}
    second = {"rows": 3, "x": {"a": 2.0, "b": 1.0}}
    assert averaged([first, second]) == {"rows": 3, "x": {"a": 1.5, "b": None}}
    assert averaged([first, None]) is None
    assert averaged([{"x": [1.0, 2.0], "only here": 1}, {"x": [2.0, 2.0]}]) == {"x": [1.5, 2.0]}


def test_a_seed_and_its_row_carry_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("nothing to divide")

    spec = TrialSpec(
        task=Component("synergy", {"size": 60}),
        encoders=dict.fromkeys("ab", Component("mlp")),
        fusion=Component("product"),
        head=Component("mlp"),
        train=TrainSpec(max_epochs=1),
    )
    plugins, bench = load_plugins(), Workbench(torch.device("cpu"))
    seed = evaluate_seed(spec, plugins, bench, tmp_path / "fine")
    read_as(Contribution, json.dumps(seed.diagnoses["contribution"]), "contribution")
    read_as(Representation, json.dumps(seed.diagnoses["representation"]), "representation")
    assert seed.diagnoses["contribution"]["subsets"].keys() == {"", "a", "b", "a+b"}
    monkeypatch.setattr("mmbench.diagnosing.contribution", fail)
    seed = evaluate_seed(spec, plugins, bench, tmp_path / "failed")
    assert "contribution" not in seed.diagnoses and "representation" in seed.diagnoses
    assert "no contribution of" in caplog.text and "ZeroDivisionError" in caplog.text


def test_a_metric_that_is_not_finite_with_modalities_missing_is_named() -> None:
    result = trained("product")
    undefined = type("Undefined", (), {"name": "pearson", "__call__": lambda *_: math.nan})()
    with pytest.raises(ArithmeticError, match=r"pearson is not a finite number with \w+ present"):
        contribution(
            result.trained.model, result.ready_test, result.trained.resolved.task, undefined
        )


def test_the_majority_has_no_modality_to_speak_of() -> None:
    result = trained("majority")
    resolved, plugins = result.trained.resolved, load_plugins()
    metric = main_metric(resolved, plugins)
    split: Split = result.ready_test
    assert contribution(result.trained.model, split, resolved.task, metric) is None


def test_the_board_says_what_each_modality_brings() -> None:
    found = {
        "rows": 1000, "subsets": {"": 0.1, "image": 0.3, "question": 0.4, "image+question": 0.9},
        "shapley": {"image": 0.35, "question": 0.45}, "emap": 0.6, "interaction": 0.31,
        "gradient_share": {"image": 0.5, "question": 0.5}, "weights": None,
    }  # fmt: skip
    row = make_row(
        1, contribution=found, representation={"nmi": 0.8, "ari": 0.7, "silhouette": 0.1}
    )
    alone = {**found, "shapley": {"image": -0.01}, "emap": None, "interaction": None}
    page = markdown(rank([row, make_row(2, 0.5, contribution=alone), make_row(3, 0.4)]))
    part = page.split("## Contribution")[1].split("##")[0]
    assert "| image, Shapley | question, Shapley | EMAP | interaction | NMI |" in part
    assert "| +0.350 | +0.450 | 0.600 | +0.310 | 0.800 |" in part
    assert "| −0.010 | – | – | – | – |" in part
    assert "1,000 rows" in part and part.count("\n|") == 4
    assert "## Contribution" not in markdown(rank([make_row(3)]))
