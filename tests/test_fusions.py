"""Every fusion keeps the contract, and computes what its paper says: slow, obvious formulas."""

import math

import pytest
import test_fusions_bilinear as bilinear
import test_fusions_decision as decision
import test_fusions_sequence as sequence
import test_retrieval as retrieval
import torch
from slow_formulas import (
    BATCH,
    DIMS,
    assert_computes,
    built,
    example,
    layer_norm,
    linear,
    sigmoid,
    softmax,
)

from mmbench.errors import InvalidParameter, UnknownName
from mmbench.fusions.average import AverageFusion
from mmbench.fusions.concat import ConcatFusion
from mmbench.fusions.cross_attention import CrossAttentionFusion
from mmbench.fusions.film import FiLMFusion
from mmbench.fusions.gated import GatedFusion
from mmbench.fusions.late_average import LateAverageFusion
from mmbench.fusions.lowrank import LowRankFusion
from mmbench.fusions.majority import MajorityFusion
from mmbench.fusions.only import OnlyFusion
from mmbench.fusions.product import ProductFusion
from mmbench.fusions.sum import SumFusion
from mmbench.fusions.unit_concat import UnitConcatFusion
from mmbench.plugins import load_plugins
from mmbench.testing import fusion_checks
from mmbench.testing.fusion import interaction_learns_exclusive_or
from mmbench.types import Encoded

FUSIONS = [
    ConcatFusion,
    UnitConcatFusion,
    AverageFusion,
    SumFusion,
    ProductFusion,
    GatedFusion,
    LowRankFusion,
    FiLMFusion,
    CrossAttentionFusion,
    LateAverageFusion,
    OnlyFusion,
    MajorityFusion,
]
VARIANTS = [
    *((cls, {}) for cls in FUSIONS),
    (AverageFusion, {"weights": "equal"}),
    (GatedFusion, {"gate": "sigmoid"}),
    (FiLMFusion, {"modulated": "b"}),
    (CrossAttentionFusion, {"width": 18, "dropout": 0.3}),
    (LateAverageFusion, {"of": "probabilities"}),
]
WIDTH = 16


@pytest.mark.parametrize("check", fusion_checks(), ids=lambda c: c.__name__)
@pytest.mark.parametrize(("cls", "params"), VARIANTS, ids=lambda v: getattr(v, "name", None))
def test_contract(cls, params, check):
    check(cls, **params)


def test_every_registered_fusion_is_put_to_the_contract():
    """So each starts at a sane scale for up to four modalities and inputs of width 16 and 1024."""
    suites = (bilinear, decision, sequence, retrieval)
    variants = [*VARIANTS, *(v for suite in suites for v in suite.VARIANTS)]
    tested = {cls.name for cls, _ in variants}
    own = {
        name
        for name, cls in load_plugins().fusions.items()
        if cls.__module__.startswith("mmbench.")
    }
    assert own - tested == set()


def weighted_sum(weights, vectors, width):
    return [sum(w * v[j] for w, v in zip(weights, vectors, strict=True)) for j in range(width)]


def test_concat_lays_modalities_side_by_side_with_zeros_for_gaps():
    assert_computes(
        built(ConcatFusion),
        lambda row: [v for m, d in DIMS.items() for v in (row[m] or [0.0] * d)],
    )


def test_unit_concat_gives_each_modality_one_length():
    def unit(row, m):
        size = math.sqrt(sum(v * v for v in row[m]) + 1e-6)
        return [3.0 * v / size for v in row[m]]

    fusion = built(UnitConcatFusion, length=3.0)
    assert_computes(
        fusion,
        lambda row: [v for m, d in DIMS.items() for v in (unit(row, m) if row[m] else [0.0] * d)],
    )
    long = {m: Encoded.vector(100 * torch.randn(4, d)) for m, d in DIMS.items()}
    blocks = UnitConcatFusion(DIMS, length=3.0)(long).split(list(DIMS.values()), dim=1)
    for block in blocks:
        torch.testing.assert_close(block.norm(dim=1), torch.full((4,), 3.0))


@pytest.mark.parametrize("weights", ["learned", "equal"])
def test_average_weighs_present_modalities_to_a_sum_of_one(weights):
    fusion = AverageFusion(DIMS, width=WIDTH, weights=weights).double()
    if weights == "learned":
        fusion.logits.data = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64)

    def formula(row):
        present = [m for m in DIMS if row[m]]
        logits = dict(zip(DIMS, fusion.logits.tolist(), strict=True))
        shares = softmax([logits[m] for m in present])
        projected = [linear(fusion.project.linear[m], row[m]) for m in present]
        return weighted_sum(shares, projected, WIDTH)

    assert_computes(fusion, formula)


def test_average_reports_its_weights():
    features = example()
    weights = built(AverageFusion)(features).weights
    torch.testing.assert_close(weights.sum(1), torch.tensor([1.0, 1, 1, 1, 0]).double())
    assert weights[1, 0] == 0
    assert not AverageFusion(DIMS, weights="equal").logits.requires_grad


def test_sum_has_free_weights():
    fusion = built(SumFusion, width=WIDTH)

    def formula(row):
        present = [m for m in DIMS if row[m]]
        weights = dict(zip(DIMS, fusion.weights.tolist(), strict=True))
        projected = [linear(fusion.project.linear[m], row[m]) for m in present]
        return weighted_sum([weights[m] for m in present], projected, WIDTH)

    assert_computes(fusion, formula)


def test_product_multiplies_present_modalities_and_normalises():
    fusion = built(ProductFusion, width=WIDTH)

    def formula(row):
        factors = [linear(fusion.project.linear[m], row[m]) for m in DIMS if row[m]]
        return layer_norm([math.prod(f[j] for f in factors) for j in range(WIDTH)], fusion.norm)

    assert_computes(fusion, formula)


@pytest.mark.parametrize("gate", ["softmax", "sigmoid"])
def test_gated_opens_one_gate_per_unit_and_modality(gate):
    fusion = built(GatedFusion, width=WIDTH, gate=gate)

    def formula(row):
        joined = [v for m, d in DIMS.items() for v in (row[m] or [0.0] * d)]
        scores = linear(fusion.score, joined)
        present = [(k, m) for k, m in enumerate(DIMS) if row[m]]
        hidden = {m: linear(fusion.project.linear[m], row[m]) for _, m in present}
        fused = []
        for j in range(WIDTH):
            unit = [scores[k * WIDTH + j] for k, _ in present]
            gates = softmax(unit) if gate == "softmax" else [sigmoid(s) for s in unit]
            values = [math.tanh(hidden[m][j]) for _, m in present]
            fused.append(sum(g * v for g, v in zip(gates, values, strict=True)))
        return fused

    assert_computes(fusion, formula)


def test_gated_softmax_over_two_is_the_papers_tied_gate():
    dims = {"image": 4, "text": 2}
    fusion, features = built(GatedFusion, dims, width=WIDTH), example(dims)
    x, y = features["image"].pooled[0], features["text"].pooled[0]
    weight, bias = fusion.score.weight, fusion.score.bias
    z = torch.sigmoid(
        (weight[:WIDTH] - weight[WIDTH:]) @ torch.cat([x, y]) + bias[:WIDTH] - bias[WIDTH:]
    )
    h = [fusion.project.linear[m](v).tanh() for m, v in (("image", x), ("text", y))]
    fused = fusion(features)
    torch.testing.assert_close(fused.vector[0], z * h[0] + (1 - z) * h[1])
    torch.testing.assert_close(fused.weights[0], torch.stack([z.mean(), 1 - z.mean()]))


def test_lowrank_is_a_linear_map_of_the_outer_product():
    fusion = built(LowRankFusion, width=WIDTH, rank=3)
    # the tensor that the factors stand for: (rank → ) d_1 + 1, d_2 + 1, d_3 + 1, width
    sound, image, text = (fusion.factors[m] for m in DIMS)
    tensor = torch.zeros(4, 5, 3, WIDTH, dtype=torch.float64)
    for r, weight in enumerate(fusion.rank_weights.tolist()):
        for i, j, k in ((i, j, k) for i in range(4) for j in range(5) for k in range(3)):
            tensor[i, j, k] += weight * sound[r, i] * image[r, j] * text[r, k]

    def formula(row):
        z = [[*(row[m] or [0.0] * d), 1.0] for m, d in DIMS.items()]
        total = fusion.bias.detach().clone()
        for i, j, k in ((i, j, k) for i in range(4) for j in range(5) for k in range(3)):
            total += z[0][i] * z[1][j] * z[2][k] * tensor[i, j, k].detach()
        return total.tolist()

    assert_computes(fusion, formula)


@pytest.mark.parametrize(
    ("given", "modulated", "conditions"),
    [("", "image", ["sound", "text"]), ("text", "text", ["image", "sound"])],
)
def test_film_scales_and_shifts_in_alphabetical_order(given, modulated, conditions):
    fusion = built(FiLMFusion, width=WIDTH, modulated=given)

    def formula(row):
        hidden = [0.0] * WIDTH
        if row[modulated]:
            hidden = linear(fusion.project, row[modulated])
        for m in conditions:
            if row[m]:
                both = linear(fusion.condition[m], row[m])
                gamma, beta = both[:WIDTH], both[WIDTH:]
                normal = layer_norm(hidden)
                hidden = [(1 + g) * h + b for g, h, b in zip(gamma, normal, beta, strict=True)]
        return hidden

    assert_computes(fusion, formula)


def test_cross_attention_attends_to_real_tokens_of_the_others():
    fusion, features = built(CrossAttentionFusion, width=WIDTH, heads=2), example()
    got = fusion(features)

    def block_of(m, i):
        """The fused vector of modality m in row i, from lists of real tokens only."""
        tokens = {
            n: [
                layer_norm(linear(fusion.project[n][0], token.tolist()), fusion.project[n][1])
                for token in features[n].tokens[i][features[n].mask[i]]
            ]
            for n in DIMS
        }
        if not tokens[m]:
            return [0.0] * WIDTH
        block, width = fusion.blocks[m], WIDTH // 2
        keys = [token for n in DIMS if n != m for token in tokens[n]]
        out = []
        for token in tokens[m]:
            query, attended = linear(block.query, token), []
            for head in (slice(0, width), slice(width, WIDTH)):
                scores = [
                    sum(a * b for a, b in zip(query[head], linear(block.key, k)[head], strict=True))
                    / math.sqrt(width)
                    for k in keys
                ]
                values = [linear(block.value, k)[head] for k in keys]
                attended += weighted_sum(softmax(scores) if keys else [], values, width)
            added = linear(block.out, attended)
            hidden = [a + b for a, b in zip(token, added, strict=True)]
            norm, first, _, second = block.feed_forward
            inner = linear(first, layer_norm(hidden, norm))
            gelu = [0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in inner]
            out.append([a + b for a, b in zip(hidden, linear(second, gelu), strict=True)])
        mean = [sum(token[j] for token in out) / len(out) for j in range(WIDTH)]
        return layer_norm(mean, fusion.norms[m])

    expected = [[v for m in DIMS for v in block_of(m, i)] for i in range(BATCH)]
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("of", ["logits", "probabilities"])
def test_late_average_averages_what_present_heads_say(of):
    dims = dict.fromkeys(DIMS, 3)
    fusion, features = LateAverageFusion(dims, of=of), example(dims)

    def formula(row):
        said = [row[m] for m in dims if row[m]]
        if not said:
            return [0.0] * 3
        if of == "probabilities":
            said = [softmax(s) for s in said]
        mean = weighted_sum([1 / len(said)] * len(said), said, 3)
        return [math.log(p) for p in mean] if of == "probabilities" else mean

    assert_computes(fusion, formula, features)
    torch.testing.assert_close(
        fusion(features).weights[1], torch.tensor([0.0, 0.5, 0.5], dtype=torch.float64)
    )


def test_late_average_of_probabilities_needs_classes():
    with pytest.raises(InvalidParameter, match="two or more exclusive classes"):
        LateAverageFusion({"a": 1, "b": 1}, of="probabilities")
    with pytest.raises(InvalidParameter, match="Allowed: 'logits', 'probabilities'"):
        LateAverageFusion({"a": 3}, of="votes")


@pytest.mark.parametrize(("given", "read"), [("", "sound"), ("text", "text")])
def test_only_reads_one_modality(given, read):
    assert OnlyFusion.reads(tuple(DIMS), modality=given) == (read,)
    fusion = OnlyFusion({read: DIMS[read]}, modality=given)
    assert_computes(fusion, lambda row: row[read] or [0.0] * DIMS[read])


@pytest.mark.parametrize(("cls", "given"), [(OnlyFusion, "modality"), (FiLMFusion, "modulated")])
def test_a_misspelt_modality_is_named_with_its_nearest(cls, given):
    with pytest.raises(UnknownName, match=r"'imgae'.*Did you mean 'image'"):
        cls(DIMS, **{given: "imgae"})


def test_majority_reads_nothing_and_says_a_constant():
    assert MajorityFusion.reads(tuple(DIMS)) == ()
    fusion = MajorityFusion({"constant": 1})
    constant = Encoded.vector(torch.ones(BATCH, 1, dtype=torch.float64))
    assert_computes(fusion, lambda _: [1.0], {"constant": constant})


@pytest.mark.parametrize("cls", [ConcatFusion, AverageFusion, SumFusion], ids=lambda c: c.name)
def test_linear_fusions_claim_no_interaction_and_have_none(cls):
    assert not cls.capabilities.interaction
    claims = type("Claims", (cls,), {"capabilities": ProductFusion.capabilities})
    with pytest.raises(AssertionError, match="exclusive-or"):
        interaction_learns_exclusive_or(claims)


def test_film_and_sum_do_not_depend_on_the_order_of_dims():
    turned = dict(reversed(DIMS.items()))
    features = example()
    for cls in (FiLMFusion, SumFusion):
        one, other = built(cls), cls(turned).double()
        state = one.state_dict()
        if cls is SumFusion:
            state["weights"] = state["weights"].flip(0)
        other.load_state_dict(state)
        torch.testing.assert_close(one(features), other(features))
