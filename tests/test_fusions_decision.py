"""Late, probabilistic, routed and searched fusions keep the contract and compute their formulas."""

import math
from itertools import product

import pytest
import torch
from slow_formulas import (
    BATCH,
    DIMS,
    assert_computes,
    built,
    example,
    layer_norm,
    linear,
    rows,
    sigmoid,
    softmax,
)

from mmbench.errors import InvalidParameter, UnknownName
from mmbench.fusions.activation import ActivationFusion
from mmbench.fusions.cell import CellFusion
from mmbench.fusions.channel_attention import ChannelAttentionFusion
from mmbench.fusions.channel_multiplication import ChannelMultiplicationFusion
from mmbench.fusions.confidence import ConfidenceFusion
from mmbench.fusions.deepset import DeepSetFusion
from mmbench.fusions.dynamic_routing import DynamicRoutingFusion
from mmbench.fusions.embracenet import EmbraceNetFusion
from mmbench.fusions.evidential import EvidentialFusion
from mmbench.fusions.late_average import LateAverageFusion
from mmbench.fusions.late_entropy import LateEntropyFusion
from mmbench.fusions.late_max import LateMaxFusion
from mmbench.fusions.late_product import LateProductFusion
from mmbench.fusions.late_stacking import LateStackingFusion
from mmbench.fusions.late_vote import LateVoteFusion
from mmbench.fusions.late_weighted import LateWeightedFusion
from mmbench.fusions.mcvae import MCVAEFusion
from mmbench.fusions.mmtm import MMTMFusion
from mmbench.fusions.product_of_experts import ProductOfExpertsFusion
from mmbench.fusions.series import SeriesFusion
from mmbench.space import validate
from mmbench.testing import fusion_checks
from mmbench.types import Encoded

DECISION = [
    LateWeightedFusion,
    LateProductFusion,
    LateMaxFusion,
    LateVoteFusion,
    LateStackingFusion,
    LateEntropyFusion,
    ConfidenceFusion,
    EvidentialFusion,
]
FEATURE = [
    DeepSetFusion,
    EmbraceNetFusion,
    ChannelMultiplicationFusion,
    MMTMFusion,
    ProductOfExpertsFusion,
    SeriesFusion,
    DynamicRoutingFusion,
    CellFusion,
    ActivationFusion,
    ChannelAttentionFusion,
    MCVAEFusion,
]
VARIANTS = [
    *((cls, {}) for cls in DECISION + FEATURE),
    (LateWeightedFusion, {"per": "output"}),
    (LateProductFusion, {"prior": "learned"}),
    (LateMaxFusion, {"of": "probabilities"}),
    (LateVoteFusion, {"vote": "hard"}),
    (ConfidenceFusion, {"weights": "softmax"}),
    (DeepSetFusion, {"pool": "sum"}),
    (DeepSetFusion, {"pool": "max"}),
    (ChannelMultiplicationFusion, {"layers": 3, "modulated": "b"}),
    (MMTMFusion, {"ratio": 1}),
    (DynamicRoutingFusion, {"training": "soft"}),
    (CellFusion, {"op_1": "fc", "second": False}),
    (CellFusion, {"third": True, "main": "b"}),
    (CellFusion, {"op_1": "sum", "op_2": "fc", "third": True, "op_3": "product"}),
    (ActivationFusion, {"main": "b"}),
    (ChannelAttentionFusion, {"main": "b", "attended": "b"}),
]
CLASSES = 3
SCORES = dict.fromkeys(DIMS, CLASSES)
WIDTH = 16


@pytest.mark.parametrize("check", fusion_checks(), ids=lambda c: c.__name__)
@pytest.mark.parametrize(("cls", "params"), VARIANTS, ids=lambda v: getattr(v, "name", None))
def test_contract(cls, params, check):
    check(cls, **params)


@pytest.mark.parametrize("cls", DECISION + FEATURE, ids=lambda c: c.name)
def test_only_tried_when_named_and_at_the_declared_level(cls):
    assert cls.offered == "named"
    assert cls.capabilities.level == ("decision" if cls in DECISION else "feature")


def repeated(features, row, times):
    """One row many times, to look at what is random in training."""
    return {m: e[torch.full((times,), row)] for m, e in features.items()}


def said(row):
    return [row[m] for m in DIMS if row[m]]


def gelu(x):
    return [0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x]


def relu(x):
    return [max(v, 0.0) for v in x]


def times(*vectors):
    return [math.prod(v) for v in zip(*vectors, strict=True)]


def mean_of(vectors, width):
    return [sum(v[j] for v in vectors) / max(len(vectors), 1) for j in range(width)]


# decisions


@pytest.mark.parametrize("per", ["modality", "output"])
def test_late_weighted_weighs_present_heads_to_a_sum_of_one(per):
    fusion = built(LateWeightedFusion, SCORES, per=per)

    def formula(row):
        z = [0.0] * CLASSES
        for o in range(CLASSES):
            column = o if per == "output" else 0
            trained = {m: fusion.logits[i, column].item() for i, m in enumerate(DIMS) if row[m]}
            shares = softmax(list(trained.values()))
            z[o] = sum(w * row[m][o] for w, m in zip(shares, trained, strict=True))
        return z

    assert_computes(fusion, formula)
    weights = fusion(example(SCORES)).weights
    torch.testing.assert_close(weights.sum(1), torch.tensor([1.0, 1, 1, 1, 0], dtype=torch.float64))
    assert weights[1, 0] == 0


@pytest.mark.parametrize("cls", [LateAverageFusion, LateVoteFusion, EvidentialFusion])
def test_heads_that_are_there_have_a_weight_and_no_others(cls):
    features = example(SCORES)
    there = torch.stack([features[m].present for m in SCORES], dim=1)
    weights = cls(SCORES)(features).weights
    assert torch.equal(weights > 0, there) and weights.max() <= 1


@pytest.mark.parametrize("prior", ["uniform", "learned"])
@pytest.mark.parametrize("kind", ["classes", "labels"])
def test_late_product_multiplies_posteriors_over_the_prior(prior, kind):
    fusion = LateProductFusion(SCORES, prior=prior).double()
    if prior == "learned":
        fusion.log_prior.data = torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64)
    assert fusion.log_prior.requires_grad == (prior == "learned")
    features = example(SCORES)
    for row, z in zip(rows(features), fusion(features).tolist(), strict=True):
        logits, heads = fusion.log_prior.tolist(), said(row)
        if kind == "classes":  # ∏ p(c | x_m) / p(c)^(M − 1), normalised over classes
            posteriors, before = [softmax(s) for s in heads], softmax(logits)
            raw = [
                math.prod(p[c] for p in posteriors) * before[c] ** (1 - len(heads))
                for c in range(CLASSES)
            ]
            expected, got = [r / sum(raw) for r in raw], softmax(z)
        else:  # the same for each label, normalised over yes and no
            expected, got = [], [sigmoid(v) for v in z]
            for c in range(CLASSES):
                before = sigmoid(logits[c])
                yes = math.prod(sigmoid(s[c]) for s in heads) * before ** (1 - len(heads))
                no = math.prod(sigmoid(-s[c]) for s in heads) * (1 - before) ** (1 - len(heads))
                expected.append(yes / (yes + no))
        assert got == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("of", ["logits", "probabilities"])
def test_late_max_takes_the_most_of_each_output(of):
    def formula(row):
        heads = said(row)
        if of == "probabilities":
            heads = [[math.log(p) for p in softmax(s)] for s in heads]
        return [max((s[o] for s in heads), default=0.0) for o in range(CLASSES)]

    assert_computes(LateMaxFusion(SCORES, of=of), formula)


def test_late_max_has_the_gradient_of_the_smooth_maximum():
    scores = torch.tensor([[1.0, 2.0, -1.0], [0.5, 4.0, 0.0]], dtype=torch.float64)
    heads = {m: s.unsqueeze(0).requires_grad_() for m, s in zip("ab", scores, strict=True)}
    fusion = LateMaxFusion({"a": 3, "b": 3})
    fusion({m: Encoded.vector(s) for m, s in heads.items()}).sum().backward()
    for m, row in zip("ab", range(2), strict=True):
        expected = [softmax(scores[:, o].tolist())[row] for o in range(3)]
        assert heads[m].grad[0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("temperature", [1.0, 0.3])
@pytest.mark.parametrize("vote", ["soft", "hard"])
def test_late_vote_counts_the_votes_of_present_heads(vote, temperature):
    def formula(row):
        votes = [0.01] * CLASSES
        for s in said(row):
            shares = softmax(s, temperature)
            for c in range(CLASSES):
                votes[c] += shares[c] if vote == "soft" else float(s[c] == max(s))
        return [math.log(v / sum(votes)) for v in votes]

    assert_computes(LateVoteFusion(SCORES, vote=vote, temperature=temperature), formula)


def test_a_hard_vote_splits_a_tie_and_has_the_gradient_of_a_soft_one():
    tied = Encoded.vector(torch.tensor([[2.0, 2.0, -1.0]]))
    got = LateVoteFusion({"a": 3}, vote="hard")({"a": tied}).vector
    torch.testing.assert_close(got, torch.tensor([[0.51, 0.51, 0.01]]).div(1.03).log())

    said = torch.tensor([[2.0, 1.0, -1.0]], dtype=torch.float64, requires_grad=True)
    fusion = LateVoteFusion({"a": 3}, vote="hard")
    fusion({"a": Encoded.vector(said)}).vector[0, 1].backward()
    p = softmax(said[0].tolist())  # d log(v_1 + ε) / d s = softmax' / (v_1 + ε), v_1 = 0
    slopes = [p[1] * ((i == 1) - p[i]) / 0.01 for i in range(3)]
    assert said.grad[0].tolist() == pytest.approx(slopes)


def test_late_stacking_is_linear_in_all_outputs_and_gaps():
    fusion = built(LateStackingFusion, SCORES)

    def formula(row):
        z = fusion.bias.tolist()
        for i, m in enumerate(DIMS):
            for o in range(CLASSES):
                if row[m]:
                    z[o] += sum(fusion.weight[i, o, k].item() * row[m][k] for k in range(CLASSES))
                else:
                    z[o] += fusion.absent[i, o].item()
        return z

    assert_computes(fusion, formula)


def test_late_stacking_starts_as_the_mean():
    assert_computes(
        LateStackingFusion(SCORES).double(),
        lambda row: [sum(s[o] for s in said(row)) / 3 for o in range(CLASSES)],
    )


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("weights", ["linear", "softmax"])
def test_confidence_weighs_heads_by_their_energy(weights, temperature):
    fusion = ConfidenceFusion(SCORES, weights=weights, temperature=temperature)

    def formula(row):
        heads = said(row)
        energies = [
            temperature * math.log(sum(math.exp(v / temperature) for v in s)) for s in heads
        ]
        c = [e / 10 for e in energies] if weights == "linear" else softmax(energies)
        return [sum(w * s[o] for w, s in zip(c, heads, strict=True)) for o in range(CLASSES)]

    assert_computes(fusion, formula)


def test_late_entropy_trusts_the_least_undecided():
    def formula(row):
        heads = said(row)
        entropies = [-sum(p * math.log(p) for p in softmax(s)) for s in heads]
        w = softmax([-h for h in entropies])
        return [sum(a * s[o] for a, s in zip(w, heads, strict=True)) for o in range(CLASSES)]

    assert_computes(LateEntropyFusion(SCORES), formula)


@pytest.mark.parametrize("cls", [ConfidenceFusion, LateEntropyFusion])
def test_confidences_get_no_gradient(cls):
    features = {m: Encoded.vector(torch.randn(2, 3).requires_grad_()) for m in "ab"}
    fused = cls({"a": 3, "b": 3})(features)
    slopes = torch.autograd.grad(fused.vector.sum(), [features[m].pooled for m in "ab"])
    for i, slope in enumerate(slopes):
        torch.testing.assert_close(slope, fused.weights[:, i : i + 1].expand(-1, 3))


def dempster_on_sets(one, other):
    """Dempster's rule as Shafer states it: masses of sets, conflict is mass of the empty set."""
    combined = {}
    for (a, mass_a), (b, mass_b) in product(one.items(), other.items()):
        combined[a & b] = combined.get(a & b, 0.0) + mass_a * mass_b
    conflict = combined.pop(frozenset(), 0.0)
    return {a: mass / (1 - conflict) for a, mass in combined.items()}


def test_evidential_is_dempsters_rule_on_sets():
    everything = frozenset(range(CLASSES))

    def formula(row):
        belief = {everything: 1.0}
        for s in said(row):
            evidence = [math.log1p(math.exp(v)) for v in s]
            strength = CLASSES + sum(evidence)
            masses = {frozenset({c}): evidence[c] / strength for c in range(CLASSES)}
            belief = dempster_on_sets(belief, {**masses, everything: CLASSES / strength})
        strength = CLASSES / belief[everything]
        alpha = [1 + strength * belief.get(frozenset({c}), 0.0) for c in range(CLASSES)]
        return [math.log(a / sum(alpha)) for a in alpha]

    assert_computes(EvidentialFusion(SCORES), formula)


def test_evidential_does_not_depend_on_the_order_of_folding():
    features = example(SCORES)
    turned = EvidentialFusion(dict(reversed(SCORES.items())))(features)
    torch.testing.assert_close(EvidentialFusion(SCORES)(features).vector, turned.vector)


def test_evidential_stays_finite_under_total_conflict():
    sure = torch.tensor([[1e4, -1e4, -1e4]])
    heads = {
        m: Encoded.vector(s.requires_grad_()) for m, s in zip("ab", (sure, -sure), strict=True)
    }
    z = EvidentialFusion({"a": 3, "b": 3})(heads).vector
    z.sum().backward()
    assert z.isfinite().all() and sure.grad.isfinite().all()


@pytest.mark.parametrize("cls", [LateVoteFusion, ConfidenceFusion, EvidentialFusion])
def test_classes_take_more_than_one_output(cls):
    with pytest.raises(InvalidParameter, match="two or more exclusive classes"):
        cls({"a": 1, "b": 1})


def test_late_max_names_what_it_allows():
    with pytest.raises(InvalidParameter, match="two or more exclusive classes"):
        LateMaxFusion({"a": 1}, of="probabilities")
    with pytest.raises(InvalidParameter, match="Allowed: 'logits', 'probabilities'"):
        LateMaxFusion({"a": 3}, of="votes")


# features


@pytest.mark.parametrize("pool", ["mean", "sum", "max"])
def test_deepset_pools_mapped_modalities(pool):
    fusion = built(DeepSetFusion, width=WIDTH, pool=pool)
    norm, shared, _ = fusion.element
    first, _, second, last = fusion.whole

    def formula(row):
        elements = [
            gelu(linear(shared, layer_norm(linear(fusion.project.linear[m], row[m]), norm)))
            for m in DIMS
            if row[m]
        ]
        if pool == "max":
            pooled = [max((e[j] for e in elements), default=0.0) for j in range(WIDTH)]
        else:
            count = len(elements) if pool == "mean" else 1
            pooled = [sum(e[j] for e in elements) / max(count, 1) for j in range(WIDTH)]
        return layer_norm(linear(second, gelu(linear(first, pooled))), last)

    assert_computes(fusion, formula)


def docked(fusion, row):
    return {m: relu(linear(fusion.dock.linear[m], row[m])) for m in DIMS if row[m]}


def test_embracenet_in_evaluation_is_its_expectation():
    fusion = built(EmbraceNetFusion, width=WIDTH)
    assert_computes(fusion, lambda row: mean_of(list(docked(fusion, row).values()), WIDTH))


@pytest.mark.parametrize("row", range(BATCH))
def test_embracenet_in_training_takes_each_unit_from_one_present_modality(row):
    fusion, features = built(EmbraceNetFusion, width=WIDTH).train(), example()
    fused = fusion(repeated(features, row, 3000))
    values = list(docked(fusion, rows(features)[row]).values())
    candidates = torch.tensor(values, dtype=torch.float64)
    if row == 4:
        assert not fused.vector.any()
        return
    taken = (fused.vector.unsqueeze(1) - candidates).abs() < 1e-12
    assert taken.any(dim=1).all()
    expected = torch.zeros(3, dtype=torch.float64)
    expected[[bool(v) for v in rows(features)[row].values()]] = 1 / len(candidates)
    torch.testing.assert_close(fused.weights.mean(0), expected, atol=0.01, rtol=0)
    picks = fused.weights * WIDTH  # not one pick for the whole sample
    assert (picks.max(dim=1).values < WIDTH).any()
    torch.testing.assert_close(fused.vector.mean(0), candidates.mean(0), atol=0.15, rtol=0)


@pytest.mark.parametrize(("given", "modulated"), [("", "sound"), ("image", "image")])
def test_channel_multiplication_scales_at_every_layer(given, modulated):
    fusion = built(ChannelMultiplicationFusion, width=WIDTH, layers=2, modulated=given)

    def formula(row):
        hidden, streams = row[modulated], {m: row[m] for m in DIMS if m != modulated}
        for layer in fusion.layers:
            hidden = relu(linear(layer.main, hidden)) if hidden else [1.0] * WIDTH
            for m, stream in streams.items():
                if stream:
                    streams[m] = relu(linear(layer.streams[m], stream))
                    scale, norm = layer.scales[m]
                    factor = layer_norm(linear(scale, streams[m]), norm)
                    hidden = times(hidden, factor)
            hidden = layer_norm(hidden, layer.norm)
        return hidden

    assert_computes(fusion, formula)


@pytest.mark.parametrize("ratio", [1, 4])
def test_mmtm_gates_every_channel_by_the_joint_squeeze(ratio):
    fusion = built(MMTMFusion, ratio=ratio)
    assert fusion.squeeze.out_features == 9 // ratio

    def formula(row):
        vectors = {m: row[m] or [0.0] * d for m, d in DIMS.items()}
        squeezed = relu(linear(fusion.squeeze, [v for x in vectors.values() for v in x]))
        return [
            2 * sigmoid(e) * v
            for m, x in vectors.items()
            for e, v in zip(linear(fusion.excite[m], squeezed), x, strict=True)
        ]

    assert_computes(fusion, formula)


def test_product_of_experts_is_the_product_of_densities_and_the_prior():
    """By quadrature: multiply densities on a grid, normalise, take the moments and the KL."""
    fusion, features = built(ProductOfExpertsFusion, width=WIDTH, kl_weight=0.02), example()
    grid, step = torch.linspace(-15, 15, 20001, dtype=torch.float64), 30 / 20000

    def log_gaussian(mean, log_variance):
        return -0.5 * ((grid - mean) ** 2 / math.exp(log_variance) + log_variance)

    means, divergences = [], []
    prior = torch.exp(-0.5 * grid**2) / math.sqrt(2 * math.pi)
    for row in rows(features):
        mean, divergence = [], 0.0
        experts = [
            (linear(fusion.mean.linear[m], row[m]), linear(fusion.log_variance.linear[m], row[m]))
            for m in DIMS
            if row[m]
        ]
        for j in range(WIDTH):
            log_density = log_gaussian(0.0, 0.0)
            for means_m, variances_m in experts:
                log_density = log_density + log_gaussian(means_m[j], variances_m[j])
            density = (log_density - log_density.max()).exp()
            density = density / (density.sum() * step)
            mean.append((grid * density).sum().item() * step)
            ratio = torch.where(density > 1e-30, density / prior, 1.0)
            divergence += (density * ratio.log()).sum().item() * step
        means.append(mean)
        divergences.append(divergence)
    fused = fusion(features)
    torch.testing.assert_close(
        fused.vector, torch.tensor(means, dtype=torch.float64), atol=1e-5, rtol=1e-5
    )
    expected = 0.02 * torch.tensor(divergences, dtype=torch.float64)
    torch.testing.assert_close(fused.penalty, expected, atol=1e-5, rtol=1e-4)


def test_product_of_experts_samples_its_posterior_in_training():
    fusion, features = built(ProductOfExpertsFusion, width=WIDTH), example()
    mean = fusion(features).vector[0]
    draws = fusion.train()(repeated(features, 0, 20000)).vector
    row = rows(features)[0]
    variances = [
        1 / (1 + sum(math.exp(-linear(fusion.log_variance.linear[m], row[m])[j]) for m in DIMS))
        for j in range(WIDTH)
    ]
    spread = torch.tensor(variances, dtype=torch.float64).sqrt()
    torch.testing.assert_close(draws.mean(0), mean, atol=0.05, rtol=0)
    torch.testing.assert_close(draws.std(0), spread, atol=0, rtol=0.05)


@pytest.mark.parametrize("order", ["", "text, sound, image"])
def test_series_hands_each_representation_on(order):
    fusion = built(SeriesFusion, width=WIDTH, order=order)

    def formula(row):
        hidden, start = [0.0] * WIDTH, True
        for m in ["text", "sound", "image"] if order else DIMS:
            stage, _, norm = fusion.stages[m]
            if row[m]:
                inputs = row[m] if start else [*row[m], *hidden]
                hidden = layer_norm(gelu(linear(stage, inputs)), norm)
            start = False
        return hidden

    assert_computes(fusion, formula)


def test_series_takes_every_modality_once():
    with pytest.raises(InvalidParameter, match="each modality once: sound, image, text"):
        SeriesFusion(DIMS, order="sound,image")


def routed(fusion, row):
    """(expert outputs, gate logits, multiplications of each expert, which may be chosen)."""
    present = [m for m in DIMS if row[m]]
    joined = [v for m, d in DIMS.items() for v in (row[m] or [0.0] * d)]
    raw = [linear(fusion.alone.linear[m], row[m]) if row[m] else [0.0] * WIDTH for m in DIMS]
    raw.append(mean_of([linear(fusion.cheap.linear[m], row[m]) for m in present], WIDTH))
    raw.append(linear(fusion.full[2], gelu(linear(fusion.full[0], joined))))
    experts = [layer_norm(x, norm) for x, norm in zip(raw, fusion.norms, strict=True)]
    logits = linear(fusion.gate[2], gelu(linear(fusion.gate[0], joined)))
    work = [d * WIDTH for d in DIMS.values()]
    work += [sum(work), fusion.full[0].weight.numel() + fusion.full[2].weight.numel()]
    allowed = [bool(row[m]) for m in DIMS] + [True, True]
    return experts, logits, [w / work[-1] for w in work], allowed


def test_dynamic_routing_in_evaluation_keeps_the_most_probable_expert():
    fusion, features = built(DynamicRoutingFusion, width=WIDTH, cost_weight=0.05), example()
    penalties, chosen = [], []

    def formula(row):
        experts, logits, costs, allowed = routed(fusion, row)
        best = max((k for k in range(5) if allowed[k]), key=lambda k: logits[k])
        penalties.append(0.05 * costs[best])
        chosen.append(best)
        return experts[best]

    assert_computes(fusion, formula, features)
    assert len(set(chosen)) > 1  # otherwise this test could not tell a constant from a route
    expected = torch.tensor(penalties, dtype=torch.float64)
    torch.testing.assert_close(fusion(features).penalty, expected, atol=1e-8, rtol=1e-6)


def test_dynamic_routing_softly_mixes_all_experts():
    params = {"training": "soft", "temperature": 0.7, "cost_weight": 0.05}
    fusion, features = built(DynamicRoutingFusion, width=WIDTH, **params).train(), example()
    penalties = []

    def formula(row):
        experts, logits, costs, allowed = routed(fusion, row)
        shares = iter(softmax([v for v, a in zip(logits, allowed, strict=True) if a], 0.7))
        gate = [next(shares) if a else 0.0 for a in allowed]
        penalties.append(0.05 * sum(g * c for g, c in zip(gate, costs, strict=True)))
        return [sum(g * e[j] for g, e in zip(gate, experts, strict=True)) for j in range(WIDTH)]

    assert_computes(fusion, formula, features)
    expected = torch.tensor(penalties, dtype=torch.float64)
    torch.testing.assert_close(fusion(features).penalty, expected, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("row", [0, 2])
def test_dynamic_routing_draws_one_expert_by_its_probability(row):
    fusion, features = built(DynamicRoutingFusion, width=WIDTH).train(), example()
    experts, logits, _, allowed = routed(fusion, rows(features)[row])
    vectors = fusion(repeated(features, row, 8000)).vector
    outputs = torch.tensor(experts, dtype=torch.float64)
    hits = (vectors.unsqueeze(1) - outputs).abs().amax(dim=-1) < 1e-9  # (draw, expert)
    assert (hits.sum(dim=1) == 1).all()
    shares = iter(softmax([v for v, a in zip(logits, allowed, strict=True) if a]))
    expected = torch.tensor([next(shares) if a else 0.0 for a in allowed], dtype=torch.float64)
    torch.testing.assert_close(hits.double().mean(0), expected, atol=0.025, rtol=0)


def test_dynamic_routing_reports_shares_of_present_modalities():
    weights = built(DynamicRoutingFusion, width=WIDTH)(example()).weights
    torch.testing.assert_close(weights.sum(1)[:4], torch.ones(4, dtype=torch.float64))
    assert weights[1, 0] == weights[2, 1] == weights[3, 2] == 0


@pytest.mark.parametrize(("given", "main"), [("", "sound"), ("text", "text")])
def test_activation_squashes_the_product_beside_the_main_modality(given, main):
    fusion = built(ActivationFusion, width=WIDTH, main=given)

    def formula(row):
        projected = {m: linear(fusion.project.linear[m], row[m]) for m in DIMS if row[m]}
        normal = layer_norm(times([1.0] * WIDTH, *projected.values()), fusion.norm)
        return [sigmoid(math.tanh(v)) for v in normal] + projected.get(main, [0.0] * WIDTH)

    assert_computes(fusion, formula)


@pytest.mark.parametrize(
    ("given", "main", "attended"),
    [
        ({}, "sound", "image"),
        ({"main": "image"}, "image", "sound"),
        ({"attended": "sound"}, *2 * ("sound",)),
    ],
)
def test_channel_attention_scales_one_modality_before_activation(given, main, attended):
    fusion = built(ChannelAttentionFusion, width=WIDTH, ratio=2, **given)
    first, _, second, _ = fusion.excite

    def formula(row):
        seen = dict(row)
        if row[attended]:
            gates = linear(second, relu(linear(first, row[attended])))
            seen[attended] = [sigmoid(g) * v for g, v in zip(gates, row[attended], strict=True)]
        projected = {m: linear(fusion.project.linear[m], seen[m]) for m in DIMS if seen[m]}
        normal = layer_norm(times([1.0] * WIDTH, *projected.values()), fusion.norm)
        return [sigmoid(math.tanh(v)) for v in normal] + projected.get(main, [0.0] * WIDTH)

    assert_computes(fusion, formula)


def test_mcvae_hands_on_the_mean_latent_and_must_rebuild_everything():
    fusion = built(MCVAEFusion, width=WIDTH, elbo_weight=0.1)

    def means(row):
        return [linear(fusion.mean.linear[m], row[m]) for m in DIMS if row[m]]

    assert_computes(fusion, lambda row: mean_of(means(row), WIDTH))
    got = fusion(example())

    def gaussian(x, mean, variance):
        return torch.distributions.Normal(mean, variance**0.5).log_prob(torch.tensor(x)).item()

    def penalty(row):
        lost = []
        for m in (m for m in DIMS if row[m]):
            latent = linear(fusion.mean.linear[m], row[m])
            logs = linear(fusion.log_variance.linear[m], row[m])
            spreads = [math.exp(min(max(v, -8), 8)) for v in logs]
            divergence = sum(
                0.5 * (u * u + v - 1 - math.log(v)) for u, v in zip(latent, spreads, strict=True)
            )
            likelihood = 0.0
            for d in (d for d in DIMS if row[d]):
                rebuilt = linear(fusion.decode[d], latent)
                noise = fusion.log_noise[d].exp().tolist()
                likelihood += sum(map(gaussian, row[d], rebuilt, noise))
            lost.append(divergence - likelihood)
        return 0.1 * sum(lost) / max(len(lost), 1)

    expected = torch.tensor([penalty(row) for row in rows(example())], dtype=torch.float64)
    torch.testing.assert_close(got.penalty, expected)


def test_mcvae_samples_each_modality_in_training_and_leaves_encoders_their_features():
    fusion = built(MCVAEFusion, width=WIDTH).train()
    features = {m: e[torch.zeros(4000, dtype=torch.long)] for m, e in example().items()}
    vectors = fusion(features).vector
    torch.testing.assert_close(vectors.mean(0), fusion.eval()(features).vector[0], rtol=0, atol=0.2)
    variances = [f(features[m].pooled[:1]).exp() for m, f in fusion.log_variance.linear.items()]
    torch.testing.assert_close(
        vectors.var(0), sum(variances)[0] / len(DIMS) ** 2, rtol=0.15, atol=0.0
    )


WIRINGS = [
    {},
    {"op_1": "fc", "activation_1": "tanh", "second": False},
    {"op_1": "sum", "left_2": "rest", "right_2": "node 1", "op_2": "fc", "activation_2": "sigmoid"},
    {"third": True, "op_1": "product", "op_2": "glu", "left_3": "node 1", "op_3": "sum"},
    {"third": True, "main": "text", "left_3": "first", "op_3": "fc", "activation_3": "relu"},
]


@pytest.mark.parametrize("wiring", WIRINGS)
def test_cell_computes_its_wiring(wiring):
    fusion = built(CellFusion, width=WIDTH, **wiring)
    full = validate(CellFusion, wiring, "cell")
    main = wiring.get("main", "sound")
    functions = {"relu": lambda v: max(v, 0.0), "sigmoid": sigmoid, "tanh": math.tanh}

    def operated(k, node, left, right):
        op = full[f"op_{k}"]
        one, other = left or [0.0] * WIDTH, right or [0.0] * WIDTH
        if op == "sum":
            return [a + b for a, b in zip(one, other, strict=True)]
        if op == "product":
            return times([1.0] * WIDTH, *(x for x in (left, right) if x))
        mapped = linear(node.map[0], [*one, *other])
        if op == "glu":
            return [a * sigmoid(b) for a, b in zip(mapped[:WIDTH], mapped[WIDTH:], strict=True)]
        return [functions[full[f"activation_{k}"]](v) for v in mapped]

    def formula(row):
        projected = {m: linear(fusion.project.linear[m], row[m]) for m in DIMS if row[m]}
        rest = [x for m, x in projected.items() if m != main]
        values = {"first": projected.get(main), "rest": mean_of(rest, WIDTH) if rest else None}
        z = []
        for k, node in enumerate(fusion.nodes, start=1):
            names = (
                (full["left_" + str(k)], full["right_" + str(k)]) if k > 1 else ("first", "rest")
            )
            left, right = (values[name] for name in names)
            out = None
            if left or right:
                out = layer_norm(operated(k, node, left, right), node.norm)
            values[f"node {k}"] = out
            z += out or [0.0] * WIDTH
        return z

    assert_computes(fusion, formula)


def test_a_cell_is_a_conditional_space():
    def of(**given):
        return set(validate(CellFusion, given, "cell")) - {"width", "main", "op_1", "second"}

    two = {"left_2", "right_2", "op_2", "third"}
    assert of(second=False) == set()
    assert of() == two
    assert of(third=True) == two | {"left_3", "right_3", "op_3"}
    assert of(op_1="fc", op_2="fc") == two | {"activation_1", "activation_2"}


@pytest.mark.parametrize(
    ("cls", "given"),
    [(ChannelMultiplicationFusion, "modulated"), (CellFusion, "main"), (ActivationFusion, "main")],
)
def test_a_misspelt_modality_is_named_with_its_nearest(cls, given):
    with pytest.raises(UnknownName, match=r"'imgae'.*Did you mean 'image'"):
        cls(DIMS, **{given: "imgae"})
