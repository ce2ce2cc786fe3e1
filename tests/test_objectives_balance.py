"""Paradigms that balance modalities do what their papers say."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from by_hand import Hand, outputs_of

from mmbench.contracts import Fused, Outputs
from mmbench.fusions.concat import ConcatFusion
from mmbench.fusions.late_average import LateAverageFusion
from mmbench.heads.cosine import CosineHead
from mmbench.heads.linear import LinearHead
from mmbench.losses import supervised_loss
from mmbench.model import FusionModel
from mmbench.objectives._dominance import dominance, mean_of_others, true_class_probability
from mmbench.objectives._steps import redirect, update_by
from mmbench.objectives._subsets import scores_with_only, shapley
from mmbench.objectives.agm import AGMObjective
from mmbench.objectives.gradient_blend import GradientBlendObjective, blend
from mmbench.objectives.mmcosine import MMCosineObjective
from mmbench.objectives.mmpareto import MMParetoObjective, integrated
from mmbench.objectives.ogm_ge import OGMGEObjective
from mmbench.objectives.opm import OPMObjective
from mmbench.objectives.plain import PlainObjective
from mmbench.objectives.pmr import PMRObjective
from mmbench.optimizer import AdamW
from mmbench.resolve import objective_misfit
from mmbench.testing.practice import Practice
from mmbench.types import Encoded, Task

ALL = [
    GradientBlendObjective,
    OGMGEObjective,
    AGMObjective,
    PMRObjective,
    MMCosineObjective,
    MMParetoObjective,
    OPMObjective,
]
F64 = torch.float64


def strengthen(hand, modality, by=4.0):
    """Make a modality's own head sure of the truth: fit it to the batch by least squares."""
    features = hand.model.encode(hand.batch)[modality].pooled.detach()
    wanted = torch.nn.functional.one_hot(hand.batch.target, 3).to(F64) * 2 - 1
    head = hand.model.unimodal_heads[modality].linear
    ones = torch.ones(len(features), 1, dtype=F64)
    solution = torch.linalg.lstsq(torch.cat([features, ones], 1), by * wanted, driver="gelsd")
    with torch.no_grad():
        head.weight.copy_(solution.solution[:-1].T)
        head.bias.copy_(solution.solution[-1])


# --- Who is ahead


def test_the_score_is_the_mean_probability_of_the_truth_where_the_modality_is():
    logits = {"a": torch.randn(4, 3, dtype=F64), "b": torch.randn(4, 3, dtype=F64)}
    target = torch.tensor([2, 0, 1, 1])
    here = {"a": [True, False, True, True], "b": [False] * 4}
    features = {m: Encoded.vector(torch.ones(4, 1), torch.tensor(p)) for m, p in here.items()}
    scores, known = true_class_probability(logits, target, features)
    exponents = [[math.exp(x) for x in row] for row in logits["a"].tolist()]
    expected = sum(exponents[i][target[i]] / sum(exponents[i]) for i in (0, 2, 3)) / 3
    assert scores.tolist() == pytest.approx([expected, 0])
    assert known.tolist() == [True, False]


@pytest.mark.parametrize(
    ("scores", "known", "ratios"),
    [
        ([0.6, 0.3], [True, True], [2.0, 0.5]),
        ([0.6, 0.3, 0.1], [True] * 3, [3.0, 0.3 / 0.35, 0.1 / 0.45]),
        ([0.6, 0.3, 0.1], [True, False, True], [6.0, 1.0, 1 / 6]),
        ([0.6, 0.3], [True, False], [1.0, 1.0]),
        ([0.6], [True], [1.0]),
        ([0.0, 0.0], [True, True], [1.0, 1.0]),
    ],
)
def test_dominance_is_the_ratio_to_the_mean_of_the_others(scores, known, ratios):
    got = dominance(torch.tensor(scores, dtype=F64), torch.tensor(known))
    assert got.tolist() == pytest.approx(ratios)


def test_the_mean_of_others_leaves_out_oneself_and_what_is_unknown():
    values, known = torch.tensor([1.0, 2.0, math.nan, 6.0]), torch.tensor([1, 1, 0, 1]).bool()
    assert mean_of_others(values, known).tolist() == pytest.approx([4.0, 3.5, 3.0, 1.5])


# --- OGM-GE


def test_ogm_scales_the_leading_encoder_by_k_and_leaves_the_other():
    plain = Hand(PlainObjective).steps()
    hand = Hand(OGMGEObjective, params={"alpha": 0.3, "noise": False})
    strengthen(hand, "a")
    probes = {
        m: head(hand.model.encode(hand.batch)[m].pooled)
        for m, head in hand.model.unimodal_heads.items()
    }
    sure = {
        m: sum(x.softmax(-1)[i, y].item() for i, y in enumerate(hand.batch.target))
        for m, x in probes.items()
    }
    k = 1 - math.tanh(0.3 * sure["a"] / sure["b"])
    assert sure["a"] > sure["b"]
    got = hand.steps()
    for modality, factor in (("a", k), ("b", 1.0)):
        scaled = factor * hand.encoder(plain, modality)
        torch.testing.assert_close(hand.encoder(got, modality), scaled)
    for name, step in plain.items():
        if not name.startswith("encoders."):
            torch.testing.assert_close(got[name], step)


def test_ogm_trains_each_head_on_its_own_loss():
    hand = Hand(OGMGEObjective)
    got = hand.gradients()
    features = hand.model.encode(hand.batch)
    for m, head in hand.model.unimodal_heads.items():
        loss = supervised_loss(hand.kind, head(features[m].pooled), hand.batch.target).mean()
        (expected,) = torch.autograd.grad(loss, [head.linear.weight])
        torch.testing.assert_close(got[f"unimodal_heads.{m}.linear.weight"], expected)


def test_ogm_noise_is_as_wide_as_the_step_of_each_tensor():
    parameter = torch.nn.Parameter(torch.zeros(4000, dtype=F64))
    start = torch.arange(4000, dtype=F64) % 7
    torch.manual_seed(0)
    redirect(parameter, start, torch.tensor(0.25), noise=True)
    noise = parameter.detach() - 0.75 * start
    assert noise.std().item() == pytest.approx(start.std().item(), rel=0.05)
    assert noise.mean().item() == pytest.approx(0, abs=0.1)


def test_ogm_noise_on_a_step_of_one_number_is_none():
    parameter = torch.nn.Parameter(torch.zeros(1, dtype=F64))
    redirect(parameter, torch.full((1,), 2.0, dtype=F64), torch.tensor(0.5), noise=True)
    assert parameter.item() == 1.0


def test_ogm_adds_its_noise_to_encoders_alone():
    quiet, noisy = (Hand(OGMGEObjective, params={"noise": n}).steps() for n in (False, True))
    for name, step in quiet.items():
        assert torch.equal(step, noisy[name]) is not name.startswith("encoders.")


def test_what_slows_an_encoder_down_does_so_under_adamw_too():
    """Whose first step has the same length whatever the gradients are multiplied by."""
    steps = {}
    for name, factors in (("whole", (1.0, 1.0)), ("half", (0.5, 1.0))):
        hand = Hand(PlainObjective)
        optimizer = AdamW(hand.model.parameters(), weight_decay=0.1)
        before = [p.detach().clone() for p in hand.model.parameters()]
        hand.objective.loss(hand.model, hand.batch).backward()
        by = dict(zip("ab", map(torch.tensor, factors), strict=True))
        update_by(by, hand.model, lambda o=optimizer: o.step(0.01))
        moved = zip(before, hand.model.named_parameters(), strict=True)
        steps[name] = {n: (p - b).detach() for b, (n, p) in moved}
    for name, step in steps["whole"].items():
        factor = 0.5 if name.startswith("encoders.a.") else 1.0
        assert step.abs().max() > 0
        torch.testing.assert_close(steps["half"][name], factor * step)


@pytest.mark.parametrize("cls", [OGMGEObjective, OPMObjective, AGMObjective, PMRObjective])
def test_alone_a_modality_trains_plainly(cls):
    torch.manual_seed(0)
    one = Hand(cls, modalities=("a",))
    one.objective.epoch = 9
    got, plain = one.steps(), Hand(PlainObjective, modalities=("a",)).steps()
    for name, step in plain.items():
        torch.testing.assert_close(got[name], step)


def decision_level(hand):
    """The same encoders and heads under a fusion of decisions."""
    heads = {m: LinearHead(hand.objective.dims[m], 3).double() for m in ("a", "b")}
    fusion = LateAverageFusion({"a": 3, "b": 3})
    hand.model = FusionModel(dict(hand.model.encoders), fusion, None, heads).double().train()
    return hand


def test_at_the_decision_level_heads_learn_from_the_fusion_alone():
    hand = decision_level(Hand(OGMGEObjective, params={"noise": False}))
    got = hand.gradients()
    outputs = outputs_of(hand)
    loss = supervised_loss(hand.kind, outputs.scores, hand.batch.target).mean()
    heads = {n: p for n, p in hand.model.named_parameters() if n.startswith("unimodal")}
    expected = torch.autograd.grad(loss, list(heads.values()))
    for name, gradient in zip(heads, expected, strict=True):
        torch.testing.assert_close(got[name], gradient)


# --- OPM


def thinning(q, **params):
    settings = {"applied": 1.0, "warmup": 0} | params
    task = Task(dict.fromkeys("abc"[: len(q)], "tabular"), "classification", ("x", "y"), "accuracy")
    widths = dict(zip("abc", (4, 12, 8), strict=False))
    objective = OPMObjective(task, {m: widths[m] for m in task.modalities}, 2, **settings)
    features = {
        m: Encoded.vector(torch.randn(2000, d, dtype=F64)) for m, d in objective.dims.items()
    }
    torch.manual_seed(0)
    return objective, features, objective.thinned(features, torch.tensor(q, dtype=F64))


def test_opm_drops_whole_modalities_from_rows_and_scales_the_rest():
    _, features, thin = thinning([0.6, 0.0])
    scale = 1 / (1 - 0.6 * 4 / 16)
    assert thin["b"].present.all()
    torch.testing.assert_close(thin["b"].pooled, scale * features["b"].pooled)
    here = thin["a"].present
    assert (~here).float().mean().item() == pytest.approx(0.6, abs=0.04)
    torch.testing.assert_close(thin["a"].pooled[here], scale * features["a"].pooled[here])
    torch.testing.assert_close(thin["a"].tokens[here], scale * features["a"].tokens[here])
    assert (thin["a"].pooled[~here] == 0).all()


def test_opm_leaves_every_row_something():
    _, _, thin = thinning([1.0, 1.0, 0.9])
    assert torch.stack([e.present for e in thin.values()]).any(dim=0).all()


def test_opm_never_drops_what_a_row_has_alone():
    objective, features, _ = thinning([0.9, 0.0])
    alone = {"a": features["a"], "b": features["b"].without(torch.ones(2000, dtype=torch.bool))}
    thin = objective.thinned(alone, torch.tensor([0.9, 0.0], dtype=F64))
    assert thin["a"].present.all()


def test_opm_is_applied_to_a_share_of_the_batches():
    objective, features, _ = thinning([0.5, 0.0], applied=0.3)
    few = {m: e[torch.arange(40)] for m, e in features.items()}
    q = torch.tensor([0.5, 0.0], dtype=F64)
    touched = sum(not objective.thinned(few, q)["a"].present.all().item() for _ in range(300))
    assert touched / 300 == pytest.approx(0.3, abs=0.08)


def test_opm_probability_grows_with_the_lead():
    hand = Hand(OPMObjective, params={"q_base": 0.4, "alpha": 0.5})
    present = {m: Encoded.vector(torch.ones(1, 1)) for m in ("a", "b")}
    target = torch.tensor([0])

    def q_of(sure_a, sure_b):
        probes = {
            m: torch.tensor([[math.log(p), math.log(1 - p)]], dtype=F64)
            for m, p in (("a", sure_a), ("b", sure_b))
        }
        return hand.objective.probabilities(probes, target, present).tolist()

    assert q_of(0.9, 0.3) == pytest.approx([0.4 * (1 + 0.5 * math.tanh(2)), 0])
    assert q_of(0.3, 0.6) == pytest.approx([0, 0.4 * (1 + 0.5 * math.tanh(1))])
    assert q_of(0.3, 0.3) == [0, 0]


@pytest.mark.parametrize(
    ("epoch", "training", "dropped"), [(0, True, False), (1, True, True), (1, False, False)]
)
def test_opm_waits_for_its_warm_up_and_spares_evaluation(epoch, training, dropped):
    hand = Hand(OPMObjective, params={"warmup": 1, "applied": 1.0, "q_base": 0.6})
    strengthen(hand, "a")
    hand.objective.train(training)
    hand.objective.begin_epoch(epoch, hand.model, hand.course)
    seen = []
    respond = hand.model.respond
    hand.model.respond = lambda features: seen.append(features) or respond(features)
    hand.objective.loss(hand.model, hand.batch)
    assert (not seen[-1]["a"].present.all().item()) is dropped
    assert seen[-1]["b"].present.all()


# --- AGM


def test_shapley_values_are_the_mean_gain_over_all_orders():
    names = ("a", "b", "c")
    torch.manual_seed(0)
    worth = {
        frozenset(s): torch.randn(2, dtype=F64)
        for n in (1, 2, 3)
        for s in itertools.combinations(names, n)
    }
    worth[frozenset()] = torch.zeros(2, dtype=F64)
    expected = dict.fromkeys(names, 0.0)
    orders = list(itertools.permutations(names))
    for order in orders:
        for i, m in enumerate(order):
            gain = worth[frozenset(order[: i + 1])] - worth[frozenset(order[:i])]
            expected[m] = expected[m] + gain / len(orders)
    got = shapley(names, worth.__getitem__)
    for m in names:
        torch.testing.assert_close(got[m], expected[m])
    torch.testing.assert_close(sum(got.values()), worth[frozenset(names)])


def test_mono_modal_responses_of_two_are_as_in_the_authors_code():
    hand = Hand(AGMObjective)
    hand.model.eval()
    features = hand.model.encode(hand.batch)
    both, a, b = (scores_with_only(hand.model, features, frozenset(s)) for s in ("ab", "a", "b"))
    got = shapley(("a", "b"), lambda s: scores_with_only(hand.model, features, s))
    torch.testing.assert_close(got["a"], 0.5 * (both - b + a))
    torch.testing.assert_close(got["b"], 0.5 * (both - a + b))
    torch.testing.assert_close(both, hand.model.respond(features).scores)


def agm(n=2, **params):
    names = "abcd"[:n]
    task = Task(dict.fromkeys(names, "tabular"), "classification", ("x", "y"), "accuracy")
    return AGMObjective(task, dict.fromkeys(names, 2), 2, **params).double()


def test_agm_coefficients_compare_a_batch_with_the_batches_before():
    objective, known = agm(3, alpha=0.2), torch.ones(3, dtype=torch.bool)
    history = []
    torch.manual_seed(0)
    for _ in range(4):
        scores = -torch.rand(3, dtype=F64)
        got = objective.coefficients(scores, known).tolist()
        expected = []
        for m in range(3):
            others = [i for i in range(3) if i != m]
            past = [sum(h[i] for h in history) / max(len(history), 1) for i in range(3)]
            now, usual = (
                math.exp(s[m] - sum(s[i] for i in others) / 2) for s in (scores.tolist(), past)
            )
            expected.append(math.exp(0.2 * min(usual - now, 7)) if history else 1.0)
        assert got == pytest.approx(expected)
        history.append(scores.tolist())


def test_agm_slows_down_whoever_is_further_ahead_than_usual():
    objective, known = agm(), torch.ones(2, dtype=torch.bool)
    objective.coefficients(torch.tensor([-1.0, -1.0], dtype=F64), known)
    a, b = objective.coefficients(torch.tensor([-0.2, -1.0], dtype=F64), known)
    assert a < 1 < b


def test_agm_does_not_count_a_modality_that_is_not_there():
    objective = agm(3)
    objective.coefficients(torch.tensor([-1.0, -2.0, -3.0], dtype=F64), torch.ones(3).bool())
    scores = torch.tensor([-1.5, math.nan, -1.0], dtype=F64)
    k = objective.coefficients(scores, torch.tensor([True, False, True]))
    assert k[1] == 1 and k.isfinite().all()
    assert objective.reference.tolist() == pytest.approx([-1.25, -2.0, -2.0])
    alone = objective.coefficients(scores, torch.tensor([True, False, False]))
    assert alone.tolist() == [1, 1, 1]


def test_agm_stays_finite_however_far_ahead():
    objective, known = agm(alpha=1.0), torch.ones(2, dtype=torch.bool)
    objective.coefficients(torch.tensor([0.0, -18.4], dtype=F64), known)
    k = objective.coefficients(torch.tensor([-18.4, 0.0], dtype=F64), known)
    assert k.isfinite().all() and k.max().item() == pytest.approx(math.exp(7))


def test_agm_scores_and_scales_encoders():
    plain = Hand(PlainObjective).steps()
    hand = Hand(AGMObjective)
    features = hand.model.encode(hand.batch)
    scores, known = hand.objective.scores(hand.model, features, hand.batch.target)
    responses = shapley(("a", "b"), lambda s: scores_with_only(hand.model, features, s))
    for i, m in enumerate(("a", "b")):
        rows = responses[m].log_softmax(-1).tolist()
        likelihood = [row[y] for row, y in zip(rows, hand.batch.target.tolist(), strict=True)]
        assert scores[i].item() == pytest.approx(sum(likelihood) / len(rows))
    assert known.all() and hand.model.training
    hand.objective.seen += 1
    hand.objective.reference += torch.tensor([-3.0, -0.5], dtype=F64)
    reference, seen = hand.objective.reference.clone(), hand.objective.seen.clone()
    k = hand.objective.coefficients(scores, known)
    hand.objective.reference, hand.objective.seen = reference, seen
    got = hand.steps()
    assert k[0] < 1 < k[1]
    for factor, modality in zip(k, ("a", "b"), strict=True):
        scaled = factor * hand.encoder(plain, modality)
        torch.testing.assert_close(hand.encoder(got, modality), scaled)
    torch.testing.assert_close(got["head.linear.weight"], plain["head.linear.weight"])


def test_agm_refuses_five_modalities():
    task = Task(dict.fromkeys("abcde", "tabular"), "classification", ("x", "y"), "accuracy")
    misfit = "objective agm takes at most 4 modalities; the task has 5 (a, b, c, d, e)"
    assert objective_misfit(AGMObjective, task) == misfit
    assert objective_misfit(OGMGEObjective, task) is None


# --- Gradient-Blend


def test_blend_is_gain_over_squared_overfitting():
    before = torch.tensor([[1.0, 1.2, 1.1], [1.1, 1.3, 1.2]], dtype=F64)  # train, val
    now = torch.tensor([[0.3, 0.9, 0.2], [0.6, 1.1, 0.9]], dtype=F64)
    raw = []
    for k in range(3):
        gain = before[1][k] - now[1][k]
        overfitting = (now[1][k] - now[0][k]) - (before[1][k] - before[0][k])
        raw.append((gain / overfitting**2).item())
    expected = [0.1 / 3 + 0.9 * r / sum(raw) for r in raw]
    assert blend(before, now, torch.full((3,), 1 / 3), 0.1).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("train", "val", "weights"),
    [
        # (gain, overfitting): the second has gained nothing
        ([0.5, 0.9], [0.6, 1.1], [0.9, 0.1]),
        # neither has: the weights stay
        ([0.5, 0.5], [1.1, 1.2], [0.7, 0.3]),
        # nothing has changed at all
        ([1.0, 1.0], [1.0, 1.0], [0.7, 0.3]),
        # no overfitting counts as a tenth of the largest change: G/O² of 0.5/0.05² each
        ([0.5, 0.5], [0.5, 0.5], [0.5, 0.5]),
    ],
)
def test_blend_is_kept_in_bounds(train, val, weights):
    before, now = torch.ones(2, 2, dtype=F64), torch.tensor([train, val], dtype=F64)
    got = blend(before, now, torch.tensor([0.7, 0.3], dtype=F64), 0.2)
    assert got.tolist() == pytest.approx(weights)


def test_blend_takes_overfitting_below_a_tenth_of_the_largest_change_for_a_tenth():
    before = torch.ones(2, 2, dtype=F64)
    now = torch.tensor([[0.0, 0.899], [0.2, 0.9]], dtype=F64)  # G 0.8, 0.1; O 0.2, 0.001
    raw = [0.8 / 0.2**2, 0.1 / 0.08**2]
    expected = [0.1 + 0.8 * r / sum(raw) for r in raw]
    got = blend(before, now, torch.tensor([0.5, 0.5], dtype=F64), 0.2)
    assert got.tolist() == pytest.approx(expected)


def test_gradient_blend_measures_the_mean_loss_of_each_head():
    started = Practice(GradientBlendObjective, "classification", missing=0.4).start()
    objective, model, course = started.trainer.objective, started.model.eval(), started.course
    got = objective.mean_losses(model, course, started.val)
    outputs = model(started.val)
    for k, scores in enumerate([outputs.scores, outputs.unimodal["a"], outputs.unimodal["b"]]):
        rows = range(len(started.val))
        if k == 2:
            rows = [i for i in rows if outputs.features["b"].present[i]]
            assert len(rows) < len(started.val)
        losses = [-scores[i].log_softmax(-1)[started.val.target[i]].item() for i in rows]
        assert got[k].item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_gradient_blend_estimates_every_few_epochs():
    started = Practice(GradientBlendObjective, "regression", {"every": 2}).start()
    objective, weights = started.trainer.objective, []
    begin_epoch = objective.begin_epoch

    def watched(epoch, model, course):
        begin_epoch(epoch, model, course)
        weights.append(objective.weights.tolist())

    objective.begin_epoch = watched
    started.fit()
    assert weights[0] == weights[1] == pytest.approx([1 / 3] * 3)
    assert weights[2] == weights[3] != weights[1]
    for row in weights:
        assert sum(row) == pytest.approx(1)
        assert min(row) >= 0.2 / 3 - 1e-6


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
def test_gradient_blend_is_the_weighted_sum_of_the_heads(kind):
    hand = Hand(GradientBlendObjective, kind, encoder="vector")
    hand.objective.weights = torch.tensor([0.2, 0.5, 0.3], dtype=F64)
    outputs = outputs_of(hand)
    expected = sum(
        w * supervised_loss(kind, s, hand.batch.target).mean()
        for w, s in zip((0.2, 0.5, 0.3), (outputs.scores, *outputs.unimodal.values()), strict=True)
    )
    torch.testing.assert_close(hand.objective(outputs, hand.batch.target), expected)


# --- PMR


def test_prototypes_are_mean_features_of_each_class_where_the_modality_is():
    started = Practice(PMRObjective, "classification", missing=0.4).start()
    objective, model = started.trainer.objective, started.model.eval()
    objective.begin_epoch(0, model, started.course)
    features = model.encode(started.train)
    for i, m in enumerate(("a", "b")):
        for k in range(3):
            rows = [
                j
                for j, y in enumerate(started.train.target.tolist())
                if y == k and features[m].present[j]
            ]
            expected = sum(features[m].pooled[j] for j in rows) / len(rows)
            torch.testing.assert_close(objective.prototypes(i)[k], expected)
    assert objective.known.all()


def test_a_class_without_rows_has_no_prototype():
    started = Practice(PMRObjective, "classification").start()
    rows = torch.nonzero(started.train.target != 2).squeeze(1)
    started, objective = replace(started, train=started.train.rows(rows)), started.trainer.objective
    objective.begin_epoch(0, started.model, started.course)
    assert objective.known.tolist() == [[True, True, False]] * 2


def test_prototypes_move_with_momentum():
    started = Practice(PMRObjective, "classification", {"momentum": 0.25}).start()
    objective, model = started.trainer.objective, started.model.eval()
    objective.begin_epoch(0, model, started.course)
    first = objective.prototypes(0).clone()
    with torch.no_grad():
        for parameter in model.encoders["a"].parameters():
            parameter += 0.1
    objective.begin_epoch(1, model, started.course)
    fresh = Practice(PMRObjective, "classification").start().trainer.objective
    fresh.begin_epoch(0, model, started.course)
    expected = 0.75 * fresh.prototypes(0) + 0.25 * first
    torch.testing.assert_close(objective.prototypes(0), expected)


def pmr(width, **params):
    task = Task({"a": "tabular", "b": "tabular"}, "classification", ("x", "y", "z"), "accuracy")
    return PMRObjective(task, {"a": width, "b": width}, 2, **params).double()


def slow_pmr(x, prototypes, target):
    """By loops: for each modality the mean p of the truth, the cross-entropy, the entropy."""
    sure, crossed, entropies = 0.0, 0.0, 0.0
    for row, y in zip(x.tolist(), target.tolist(), strict=True):
        weights = [math.exp(-math.dist(row, c)) for c in prototypes.tolist()]
        p = [w / sum(weights) for w in weights]
        sure += p[y] / len(x)
        crossed -= math.log(p[y]) / len(x)
        entropies -= sum(q * math.log(q) for q in p) / len(x)
    return sure, crossed, entropies


@pytest.mark.parametrize("epoch", [0, 2])
@pytest.mark.parametrize("ahead", [0, 1])
def test_pmr_pulls_the_one_behind_and_early_on_calms_the_one_ahead(epoch, ahead):
    torch.manual_seed(1)
    centres = torch.randn(3, 5, dtype=F64) * 2
    target = torch.arange(6) % 3
    near = centres[target] + 0.3 * torch.randn(6, 5, dtype=F64)
    far = 2 * torch.randn(6, 5, dtype=F64)
    x = (near, far) if ahead == 0 else (far, near)
    objective = pmr(5, alpha=0.7, mu=0.3, entropy_epochs=2)
    objective.epoch = epoch
    for i in range(2):
        objective.register_buffer(f"prototypes_{i}", centres)
    objective.known |= True
    outputs = Outputs(
        torch.randn(6, 3, dtype=F64),
        torch.zeros(6, 5),
        features={m: Encoded.vector(v) for m, v in zip("ab", x, strict=True)},
    )
    parts = [slow_pmr(v, centres, target) for v in x]
    ratio = parts[0][0] / parts[1][0]
    beta = min(max(1 / ratio - 1, 0), 1)  # of the first modality
    gamma = min(max(ratio - 1, 0), 1)  # of the second
    assert (gamma > 0) is (ahead == 0) and (beta > 0) is (ahead == 1)
    expected = supervised_loss("classification", outputs.scores, target).mean().item()
    expected += 0.7 * (beta * parts[0][1] + gamma * parts[1][1])
    if epoch < 2:
        expected -= 0.3 * (gamma * parts[0][2] + beta * parts[1][2])
    assert objective(outputs, target).item() == pytest.approx(expected)


def test_pmr_leaves_out_classes_without_a_prototype():
    objective = pmr(2)
    objective.known[:, :2] = True
    features = {m: Encoded.vector(torch.randn(3, 2, dtype=F64, requires_grad=True)) for m in "ab"}
    logits = objective.similarities(0, features["a"].pooled)
    assert (logits.softmax(-1)[:, 2] == 0).all()
    loss = objective(
        Outputs(torch.zeros(3, 3, dtype=F64), torch.zeros(3, 2), features=features),
        torch.tensor([2, 2, 2]),
    )
    assert loss.item() == pytest.approx(math.log(3), abs=0.1)


# --- MMCosine


def test_mmcosine_is_the_sum_of_cosines_by_head_and_fusion():
    practice = Practice(MMCosineObjective, "classification")
    resolved = practice.resolved()
    assert (resolved.fusion, resolved.head) == (LateAverageFusion, CosineHead)
    model = practice.start().model
    batch = practice.start().train.rows(torch.arange(4))
    features = model.encode(batch)
    outputs = model.respond(features)
    expected = torch.zeros(4, 3)
    for m, head in model.unimodal_heads.items():
        cosines = torch.nn.functional.cosine_similarity(
            features[m].pooled.unsqueeze(1), head.weight.unsqueeze(0), dim=-1
        )
        expected += 10.0 / 2 * cosines
    torch.testing.assert_close(outputs.scores, expected, atol=1e-3, rtol=1e-3)


def test_mmcosine_gives_a_loud_modality_no_louder_voice():
    model = Practice(MMCosineObjective, "classification").start().model
    features = {m: Encoded.vector(torch.randn(4, model.unimodal_heads[m].in_dim)) for m in "ab"}
    loud = features | {"a": Encoded.vector(100 * features["a"].pooled)}
    torch.testing.assert_close(
        model.respond(loud).scores, model.respond(features).scores, atol=1e-3, rtol=1e-3
    )


# --- MMPareto


def test_gradients_that_agree_are_summed():
    g, u = torch.tensor([1.0, 2.0], dtype=F64), torch.tensor([2.0, -1.0], dtype=F64)
    torch.testing.assert_close(integrated(g, u), g + u)
    torch.testing.assert_close(integrated(g, 3 * g), 4 * g)


def test_gradients_in_conflict_give_the_shortest_mixture_as_long_as_their_sum():
    torch.manual_seed(0)
    shares = torch.linspace(0, 1, 20001, dtype=F64).unsqueeze(1)
    for _ in range(5):
        g, u = torch.randn(2, 4, dtype=F64)
        u = u if g @ u < 0 else -u
        mixtures = shares * g + (1 - shares) * u
        shortest = mixtures[mixtures.norm(dim=1).argmin()]
        expected = shortest / shortest.norm() * (g + u).norm()
        got = integrated(g, u)
        torch.testing.assert_close(got, expected, atol=1e-3, rtol=1e-3)
        assert got @ g > 0 and got @ u > 0  # both losses fall


@pytest.mark.parametrize("scale", [1.0, 2.0, 1e-12, 0.0])
def test_opposite_gradients_stay_finite_and_no_longer_than_their_sum(scale):
    g = torch.randn(4)
    got = integrated(g, -scale * g)
    assert got.isfinite().all()
    assert got.norm() <= (g - scale * g).norm() * (1 + 1e-5)


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
def test_mmpareto_replaces_the_gradients_of_encoders_only(kind):
    hand = Hand(MMParetoObjective, kind, params={"gamma": 2.0})
    got = hand.steps()
    outputs = outputs_of(hand)
    losses = {
        m: supervised_loss(kind, s, hand.batch.target).mean()
        for m, s in ({"fused": outputs.scores} | dict(outputs.unimodal)).items()
    }
    for m in ("a", "b"):
        g, u = (hand.slopes(losses[k], m) for k in ("fused", m))
        expected = 2 * integrated(g, u)
        torch.testing.assert_close(hand.encoder(got, m), expected)
    weight = hand.model.head.linear.weight
    (expected,) = torch.autograd.grad(losses["fused"], [weight])
    torch.testing.assert_close(got["head.linear.weight"], expected)


def test_mmpareto_meets_a_conflict_on_the_way():
    """So that the test above, and training, go through both branches."""
    hand = Hand(MMParetoObjective, params={"gamma": 1.0})
    with torch.no_grad():
        hand.model.unimodal_heads["a"].linear.weight.copy_(
            -hand.model.head.linear.weight[:, : hand.objective.dims["a"]]
        )
    outputs = outputs_of(hand)
    losses = [
        supervised_loss(hand.kind, s, hand.batch.target).mean()
        for s in (outputs.scores, outputs.unimodal["a"])
    ]
    g, u = (hand.slopes(loss, "a") for loss in losses)
    assert g @ u < 0
    got = hand.encoder(hand.gradients(), "a")
    assert got @ g > 0 and got @ u > 0
    assert got.norm().item() == pytest.approx((g + u).norm().item())


# --- All of them


@pytest.mark.parametrize("cls", ALL, ids=lambda c: c.name)
def test_the_fusions_own_penalty_stays_in(cls):
    bare, penalised = Hand(cls), Hand(cls)
    fuse = penalised.model.fuse

    def with_a_cost(features, unimodal):
        return Fused(fuse(features, unimodal).vector, torch.full((32,), 2.0, dtype=F64))

    penalised.model.fuse = with_a_cost
    loss, more = (
        hand.objective.step(hand.model, hand.batch, lambda: None) for hand in (bare, penalised)
    )
    torch.testing.assert_close(more, loss + 2)


@pytest.mark.parametrize("cls", [OGMGEObjective, OPMObjective, AGMObjective, PMRObjective])
def test_three_modalities_and_missing_rows_train(cls):
    torch.manual_seed(0)
    names = ("a", "b", "c")
    task = Task(dict.fromkeys(names, "tabular"), "classification", ("x", "y"), "accuracy")
    objective = cls(task, dict.fromkeys(names, 3), 9)
    heads = {m: LinearHead(3, 2) for m in names}
    fusion = ConcatFusion(dict.fromkeys(names, 3))
    model = FusionModel({}, fusion, LinearHead(fusion.out_dim, 2), heads)
    features = {m: Encoded.vector(torch.randn(5, 3), torch.rand(5) < 0.5) for m in names}
    target = torch.tensor([0, 1, 0, 1, 1])
    if isinstance(objective, AGMObjective):
        got = objective.coefficients(*objective.scores(model, features, target))
    elif isinstance(objective, PMRObjective):
        objective.known |= True
        got = objective(model.respond(features), target)
    else:
        probes = objective.probe(model, features)
        rule = objective.coefficients if cls is OGMGEObjective else objective.probabilities
        got = rule(probes, target, features)
    assert got.isfinite().all()
