"""Pooling, gating and multiplying fusions keep the contract and compute what their papers say."""

import math
from dataclasses import replace
from itertools import combinations, product

import pytest
import torch
from slow_formulas import (
    DIMS,
    assert_computes,
    built,
    example,
    linear,
    sigmoid,
    softmax,
)

from mmbench.errors import UnknownName
from mmbench.fusions._bilinear import NORM_EPSILON, ROOT_EPSILON
from mmbench.fusions.block import BlockFusion
from mmbench.fusions.block_tucker import BlockTuckerFusion
from mmbench.fusions.gate import GateFusion
from mmbench.fusions.glu import GLUFusion
from mmbench.fusions.max import MaxFusion
from mmbench.fusions.mcb import MCBFusion
from mmbench.fusions.mfb import MFBFusion
from mmbench.fusions.mfh import MFHFusion
from mmbench.fusions.mlb import MLBFusion
from mmbench.fusions.multiplicative import (
    MultiplicativeMatrixFusion,
    MultiplicativeScalarFusion,
    MultiplicativeVectorFusion,
)
from mmbench.fusions.mutan import MUTANFusion
from mmbench.fusions.product import ProductFusion
from mmbench.fusions.sigma_linear import SigmaLinearFusion
from mmbench.fusions.softmax_gated import SoftmaxGatedFusion
from mmbench.fusions.stack import StackFusion
from mmbench.fusions.tensor import LIMIT, TensorFusion
from mmbench.fusions.tucker import TuckerFusion
from mmbench.fusions.weighted_concat import WeightedConcatFusion
from mmbench.testing import fusion_checks
from mmbench.testing.fusion import interaction_learns_exclusive_or
from mmbench.types import Encoded

FUSIONS = [
    MaxFusion,
    StackFusion,
    WeightedConcatFusion,
    SigmaLinearFusion,
    SoftmaxGatedFusion,
    GateFusion,
    GLUFusion,
    MultiplicativeMatrixFusion,
    MultiplicativeVectorFusion,
    MultiplicativeScalarFusion,
    TensorFusion,
    MLBFusion,
    MUTANFusion,
    TuckerFusion,
    BlockFusion,
    BlockTuckerFusion,
    MFBFusion,
    MFHFusion,
    MCBFusion,
]
VARIANTS = [
    *((cls, {}) for cls in FUSIONS),
    (WeightedConcatFusion, {"per": "unit"}),
    (SigmaLinearFusion, {"sigma": "tanh"}),
    (SigmaLinearFusion, {"sigma": "relu"}),
    (GateFusion, {"content": "b"}),
    (TensorFusion, {"inner": 4}),
    (MUTANFusion, {"rank": 1}),
    (BlockFusion, {"chunks": 16, "chunk": 4}),
    (MFHFusion, {"blocks": 3, "dropout": 0.0}),
    (MCBFusion, {"width": 128}),
]
WIDTH = 6


@pytest.mark.parametrize("check", fusion_checks(), ids=lambda c: c.__name__)
@pytest.mark.parametrize(("cls", "params"), VARIANTS, ids=lambda v: getattr(v, "name", None))
def test_contract(cls, params, check):
    check(cls, **params)


@pytest.mark.parametrize("cls", FUSIONS, ids=lambda c: c.name)
def test_a_default_search_does_not_try_it(cls):
    assert cls.offered == "named"


def joined(row):
    return [v for m, d in DIMS.items() for v in (row[m] or [0.0] * d)]


def affine_or_ones(factors, row, size, of=lambda v: v):
    """For each modality of(W x + b), or ones if it is missing."""
    return [
        [of(v) for v in linear(factors.linear[m], row[m])] if row[m] else [1.0] * size for m in DIMS
    ]


def normalised(x):
    rooted = [v / math.sqrt(abs(v) + ROOT_EPSILON) for v in x]
    scale = math.sqrt(sum(v * v for v in rooted) / len(rooted) + NORM_EPSILON)
    return [v / scale for v in rooted]


def contracted(tensor, vectors):
    """Σ_ijk T_ijko x_i y_j z_k for every o, entry by entry of the outer product."""
    total = torch.zeros(tensor.shape[-1], dtype=torch.float64)
    for index in product(*(range(len(v)) for v in vectors)):
        entry = math.prod(v[i] for v, i in zip(vectors, index, strict=True))
        total += entry * tensor[index]
    return total.tolist()


def test_max_takes_the_highest_of_the_present():
    fusion = built(MaxFusion, width=WIDTH)

    def formula(row):
        projected = [linear(fusion.project.linear[m], row[m]) for m in DIMS if row[m]]
        return [max((p[j] for p in projected), default=0.0) for j in range(WIDTH)]

    assert_computes(fusion, formula)


def test_stack_lays_projections_side_by_side():
    fusion = built(StackFusion, width=WIDTH)

    def formula(row):
        return [
            v
            for m in DIMS
            for v in (linear(fusion.project.linear[m], row[m]) if row[m] else [0.0] * WIDTH)
        ]

    assert_computes(fusion, formula)


@pytest.mark.parametrize("per", ["modality", "unit"])
def test_weighted_concat_has_weights_that_sum_to_one(per):
    fusion = built(WeightedConcatFusion, per=per)
    counts = [1 if per == "modality" else d for d in DIMS.values()]
    assert fusion.logits.numel() == sum(counts)

    def formula(row):
        owners = [m for m, n in zip(DIMS, counts, strict=True) for _ in range(n)]
        logits = [
            (m, v)
            for m, v in zip(owners, fusion.logits.tolist(), strict=True)
            if row[m] is not None
        ]
        shares = iter(softmax([v for _, v in logits]))
        out = []
        for (m, d), n in zip(DIMS.items(), counts, strict=True):
            if row[m] is None:
                out += [0.0] * d
                continue
            weights = [next(shares) for _ in range(n)]
            weights = weights * d if n == 1 else weights
            out += [len(logits) * w * v for w, v in zip(weights, row[m], strict=True)]
        return out

    assert_computes(fusion, formula)
    shares = fusion(example()).weights.sum(1)
    torch.testing.assert_close(shares, torch.tensor([1.0, 1, 1, 1, 0]).double())


@pytest.mark.parametrize("per", ["modality", "unit"])
def test_weighted_concat_starts_as_concat(per):
    features = {m: Encoded.vector(torch.randn(3, d)) for m, d in DIMS.items()}
    plain = torch.cat([e.pooled for e in features.values()], dim=-1)
    torch.testing.assert_close(WeightedConcatFusion(DIMS, per=per)(features).vector, plain)
    gone = next(iter(DIMS))
    without = {**features, gone: features[gone].without(torch.ones(3, dtype=torch.bool))}
    plain = torch.cat([e.pooled for e in without.values()], dim=-1)
    torch.testing.assert_close(WeightedConcatFusion(DIMS, per=per)(without).vector, plain)


@pytest.mark.parametrize(
    ("sigma", "of"), [("sigmoid", sigmoid), ("tanh", math.tanh), ("relu", lambda v: max(v, 0.0))]
)
def test_sigma_linear_is_one_layer_over_all(sigma, of):
    fusion = built(SigmaLinearFusion, width=WIDTH, sigma=sigma)
    assert_computes(fusion, lambda row: [of(v) for v in linear(fusion.linear, joined(row))])


def test_softmax_gated_has_one_weight_per_modality():
    fusion = built(SoftmaxGatedFusion, width=WIDTH)

    def formula(row):
        scores = dict(zip(DIMS, linear(fusion.score, joined(row)), strict=True))
        present = [m for m in DIMS if row[m]]
        shares = softmax([scores[m] for m in present])
        projected = [linear(fusion.project.linear[m], row[m]) for m in present]
        return [sum(a * p[j] for a, p in zip(shares, projected, strict=True)) for j in range(WIDTH)]

    assert_computes(fusion, formula)
    weights = fusion(example()).weights
    torch.testing.assert_close(weights.sum(1), torch.tensor([1.0, 1, 1, 1, 0]).double())
    assert weights[1, 0] == weights[2, 1] == weights[3, 2] == 0


@pytest.mark.parametrize(("given", "content"), [("", "image"), ("text", "text")])
def test_gate_lets_the_others_decide(given, content):
    fusion = built(GateFusion, width=WIDTH, content=given)

    def formula(row):
        if row[content] is None:
            return [0.0] * WIDTH
        others = [v for m, d in DIMS.items() if m != content for v in (row[m] or [0.0] * d)]
        gates = [sigmoid(v) for v in linear(fusion.score, others)]
        projected = linear(fusion.project, row[content])
        return [g * v for g, v in zip(gates, projected, strict=True)]

    assert_computes(fusion, formula)


def test_gate_names_the_nearest_modality():
    with pytest.raises(UnknownName, match=r"gate.content = 'imgae'.*Did you mean 'image'"):
        GateFusion(DIMS, content="imgae")


def test_glu_gates_one_half_with_the_other():
    fusion = built(GLUFusion, width=WIDTH)

    def formula(row):
        both = linear(fusion.linear, joined(row))
        return [v * sigmoid(g) for v, g in zip(both[:WIDTH], both[WIDTH:], strict=True)]

    assert_computes(fusion, formula)


def narrowed(fusion, row, inner):
    """Vectors of at most ``inner``, zeros where one is missing."""
    return [
        linear(fusion.narrow.maps[m], row[m] or [0.0] * d) if d > inner else row[m] or [0.0] * d
        for m, d in DIMS.items()
    ]


@pytest.mark.parametrize("inner", [3, 8])
def test_mi_matrix_is_a_full_tensor_per_pair_and_linear_terms(inner):
    fusion = built(MultiplicativeMatrixFusion, width=WIDTH, inner=inner)
    weight = fusion.bilinear.weight.tolist()

    def formula(row):
        vectors, total = narrowed(fusion, row, inner), linear(fusion.linear, joined(row))
        for o in range(WIDTH):
            column = 0
            for x, y in combinations(vectors, 2):
                for i, j in product(range(len(x)), range(len(y))):
                    total[o] += x[i] * weight[o][column] * y[j]
                    column += 1
        return total

    assert_computes(fusion, formula)


@pytest.mark.parametrize("cls", [MultiplicativeVectorFusion, MultiplicativeScalarFusion])
def test_mi_vector_and_scalar_generate_a_diagonal_matrix(cls):
    fusion = built(cls, width=WIDTH)

    def formula(row):
        hidden = linear(fusion.project, row["sound"]) if row["sound"] else [0.0] * WIDTH
        for m in ("image", "text"):
            if row[m]:
                scale = linear(fusion.scale[m], row[m])
                scale = scale * WIDTH if cls is MultiplicativeScalarFusion else scale
                # the matrix zᵀ𝕎 + V, all of it, times h
                matrix = [[scale[o] * (o == i) for i in range(WIDTH)] for o in range(WIDTH)]
                shift = linear(fusion.shift[m], row[m])
                hidden = [
                    sum(w * h for w, h in zip(line, hidden, strict=True)) + b
                    for line, b in zip(matrix, shift, strict=True)
                ]
        return hidden

    assert_computes(fusion, formula)


@pytest.mark.parametrize("inner", [3, 15])
def test_tensor_is_the_whole_outer_product(inner):
    fusion = built(TensorFusion, inner=inner)

    def formula(row):
        extended = [[*x, 1.0] for x in narrowed(fusion, row, inner)]
        return [math.prod(entries) for entries in product(*extended)]

    assert_computes(fusion, formula)


@pytest.mark.parametrize("modalities", range(2, 13))
def test_tensor_keeps_within_its_limit(modalities):
    fusion = TensorFusion({f"m{i}": 1024 for i in range(modalities)}, inner=63)
    size = fusion.narrow.widths[0] + 1
    assert fusion.out_dim == size**modalities <= LIMIT < (size + 1) ** modalities


def test_mlb_multiplies_bounded_factors():
    fusion = built(MLBFusion, width=WIDTH, rank=5)

    def formula(row):
        factors = affine_or_ones(fusion.factors, row, 5, math.tanh)
        return linear(fusion.out, [math.prod(f) for f in zip(*factors, strict=True)])

    assert_computes(fusion, formula)


def test_mutan_is_a_tucker_form_whose_core_slices_have_rank_r():
    fusion = built(MUTANFusion, width=4, rank=3)
    slices = [fusion.slices[m].weight.detach().unflatten(0, (3, 4)) for m in DIMS]  # (r, o, i)
    core = torch.zeros(4, 4, 4, 4, dtype=torch.float64)
    for i, j, k, o, r in product(range(4), range(4), range(4), range(4), range(3)):
        core[i, j, k, o] += slices[0][r, o, i] * slices[1][r, o, j] * slices[2][r, o, k]

    def formula(row):
        factors = affine_or_ones(fusion.factors, row, 4, math.tanh)
        return linear(fusion.out, contracted(core, factors))

    assert_computes(fusion, formula)


def test_tucker_contracts_a_core_held_as_a_train():
    fusion = built(TuckerFusion, width=WIDTH, inner=3)
    first, second = (c.detach().unflatten(0, (3, 3)) for c in fusion.cores)
    core = torch.zeros(3, 3, 3, 3, dtype=torch.float64)
    for i, j, k, o, h in product(range(3), repeat=5):
        core[i, j, k, o] += first[i, j, h] * second[h, k, o]

    def formula(row):
        factors = affine_or_ones(fusion.factors, row, 3, math.tanh)
        return linear(fusion.out, contracted(core, factors))

    assert_computes(fusion, formula)


def test_block_has_a_superdiagonal_core():
    chunks, chunk, rank = 2, 3, 2
    fusion = built(BlockFusion, width=WIDTH, chunks=chunks, chunk=chunk, rank=rank)
    size = chunks * chunk
    slices = [fusion.slices[m].detach() for m in DIMS]  # each (chunks, in, rank, out)
    core = torch.zeros(size, size, size, size, dtype=torch.float64)
    for c, r, (i, j, k, o) in product(range(chunks), range(rank), product(range(chunk), repeat=4)):
        entry = slices[0][c, i, r, o] * slices[1][c, j, r, o] * slices[2][c, k, r, o]
        core[tuple(c * chunk + n for n in (i, j, k, o))] += entry

    def formula(row):
        pooled = contracted(core, affine_or_ones(fusion.factors, row, size))
        blocks = [normalised(pooled[c * chunk : (c + 1) * chunk]) for c in range(chunks)]
        return linear(fusion.out, [v for block in blocks for v in block])

    assert_computes(fusion, formula)


def test_block_tucker_has_a_whole_core_in_each_block():
    chunks, chunk = 2, 3
    fusion = built(BlockTuckerFusion, width=WIDTH, chunks=chunks, chunk=chunk)
    trains = [core.detach().unflatten(1, (chunk, chunk)) for core in fusion.cores]

    def formula(row):
        factors = affine_or_ones(fusion.factors, row, chunks * chunk)
        blocks = []
        for c in range(chunks):
            hidden, *others = [f[c * chunk : (c + 1) * chunk] for f in factors]
            for core, factor in zip(trains, others, strict=True):
                hidden = contracted(core[c], [hidden, factor])
            blocks.append(normalised(hidden))
        return linear(fusion.out, [v for block in blocks for v in block])

    assert_computes(fusion, formula)


def squeezed(expanded, k):
    return [sum(expanded[i : i + k]) for i in range(0, len(expanded), k)]


def test_mfb_sums_k_products_for_each_output():
    fusion = built(MFBFusion, width=WIDTH, k=3)

    def formula(row):
        factors = affine_or_ones(fusion.factors, row, 3 * WIDTH)
        return normalised(squeezed([math.prod(f) for f in zip(*factors, strict=True)], 3))

    assert_computes(fusion, formula)


def test_mfb_of_two_is_a_bilinear_form_of_rank_k():
    dims = {"image": 4, "text": 2}
    fusion, features = built(MFBFusion, dims, width=WIDTH, k=3), example(dims)
    u, v = (
        torch.cat([f.weight, f.bias.unsqueeze(1)], dim=1) for f in fusion.factors.linear.values()
    )
    x, y = (torch.cat([features[m].pooled[0], torch.ones(1).double()]) for m in dims)
    forms = [u[3 * o : 3 * o + 3].T @ v[3 * o : 3 * o + 3] for o in range(WIDTH)]
    assert all(torch.linalg.matrix_rank(form) == 3 for form in forms)
    expected = normalised([(x @ form @ y).item() for form in forms])
    torch.testing.assert_close(fusion(features)[0], torch.tensor(expected).double())


@pytest.mark.parametrize("blocks", [2, 3])
def test_mfh_cascades_its_blocks(blocks):
    fusion = built(MFHFusion, width=WIDTH, k=2, blocks=blocks)

    def formula(row):
        expanded, out = [1.0] * 2 * WIDTH, []
        for block in fusion.blocks:
            factors = affine_or_ones(block, row, 2 * WIDTH)
            expanded = [e * math.prod(f) for e, *f in zip(expanded, *factors, strict=True)]
            out += normalised(squeezed(expanded, 2))
        return out

    assert_computes(fusion, formula)


@pytest.mark.parametrize("width", [8, 256])
@pytest.mark.parametrize("dims", [DIMS, {"image": 4, "text": 2}], ids=len)
def test_mcb_is_the_count_sketch_of_the_outer_product(width, dims):
    fusion = built(MCBFusion, dims, width=width)

    def formula(row):
        present = [m for m in dims if row[m]]
        hashes = {
            m: list(zip(s.buckets.tolist(), s.signs.tolist(), strict=True))
            for m, s in fusion.sketches.items()
        }
        entries = {
            m: [(h, s, v) for (h, s), v in zip(hashes[m], row[m], strict=True)]
            + ([(0, 1.0, 1.0)] if len(dims) > 2 else [])
            for m in present
        }
        sketch = [0.0] * width
        for parts in product(*entries.values()):
            bucket = sum(h for h, _, _ in parts) % width
            sketch[bucket] += math.prod(s * v for _, s, v in parts)
        return normalised(sketch)

    assert_computes(fusion, formula)


def test_mcb_hashes_depend_on_names_only():
    torch.manual_seed(0)
    one = MCBFusion({"a": 40, "b": 40}, width=128).state_dict()
    torch.manual_seed(1)
    other = MCBFusion({"b": 40, "a": 40}, width=128).state_dict()
    assert len(one) == 4
    assert all(torch.equal(v, other[k]) for k, v in one.items())
    assert not torch.equal(one["sketches.a.buckets"], one["sketches.b.buckets"])
    assert not torch.equal(one["sketches.a.signs"], one["sketches.b.signs"])
    assert set(one["sketches.a.signs"].tolist()) == {-1.0, 1.0}
    assert one["sketches.a.buckets"].max() < 128 and one["sketches.a.buckets"].min() >= 0


def test_mcb_in_bfloat16_is_near_float32():
    fusion = MCBFusion({"a": 32, "b": 48}, width=128)
    vectors = {m: torch.randn(4, d).bfloat16() for m, d in (("a", 32), ("b", 48))}
    exact = fusion({m: Encoded.vector(v.float()) for m, v in vectors.items()})
    rough = fusion.bfloat16()({m: Encoded.vector(v) for m, v in vectors.items()})
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), exact, rtol=0.01, atol=0.01)


@pytest.mark.parametrize(
    "cls", [StackFusion, WeightedConcatFusion, SoftmaxGatedFusion], ids=lambda c: c.name
)
def test_those_that_claim_no_interaction_have_none(cls):
    assert not cls.capabilities.interaction
    torch.manual_seed(0)
    claims = type("Claims", (cls,), {"capabilities": ProductFusion.capabilities})
    with pytest.raises(AssertionError, match="exclusive-or"):
        interaction_learns_exclusive_or(claims)


@pytest.mark.parametrize(
    "cls", [c for c in FUSIONS if c.capabilities.interaction], ids=lambda c: c.name
)
def test_a_third_modality_does_not_hide_what_two_say_together(cls):
    """The kit's exclusive-or has two modalities; here a third one is noise."""
    torch.manual_seed(0)
    three = replace(cls.capabilities, min_modalities=3)
    interaction_learns_exclusive_or(type("Three", (cls,), {"capabilities": three}))


@pytest.mark.parametrize(
    "cls",
    [
        MLBFusion,
        MUTANFusion,
        TuckerFusion,
        BlockFusion,
        BlockTuckerFusion,
        MultiplicativeMatrixFusion,
        TensorFusion,
    ],
    ids=lambda c: c.name,
)
@pytest.mark.parametrize("modalities", [2, 3, 4])
@pytest.mark.parametrize("dim", [16, 1024])
def test_products_start_with_about_unit_variance(cls, modalities, dim):
    """Nothing normalises these at the end, so their initial weights must."""
    torch.manual_seed(0)
    dims = {f"m{i}": dim for i in range(modalities)}
    features = {m: Encoded.vector(torch.randn(256, dim)) for m in dims}
    scale = cls(dims)(features).square().mean().sqrt().item()
    assert 0.5 < scale < 2
