"""Fusions of sequences keep the contract and compute what their papers say: explicit loops.

The references know real tokens only, one sample, one query and one head at a time; they read the
weights of a fusion but call none of its modules.
"""

import math
from itertools import combinations

import pytest
import torch

from mmbench.contracts import Fused
from mmbench.errors import UnknownName
from mmbench.fusions._sequence import compacted, stretched
from mmbench.fusions.almt import ALMTFusion
from mmbench.fusions.attention_pooling import AttentionPoolingFusion
from mmbench.fusions.attention_sum import AttentionSumFusion
from mmbench.fusions.bottleneck import BottleneckFusion
from mmbench.fusions.cenet import CENETFusion
from mmbench.fusions.concat_early import ConcatEarlyFusion
from mmbench.fusions.convolution import ConvolutionFusion
from mmbench.fusions.early_transformer import EarlyTransformerFusion
from mmbench.fusions.encoder_decoder import EncoderDecoderFusion
from mmbench.fusions.graph_mfn import GraphMFNFusion
from mmbench.fusions.hierarchical import ManyToOneFusion, OneToManyFusion
from mmbench.fusions.hyper_mixer import HyperMixerFusion
from mmbench.fusions.late_transformer import LateTransformerFusion
from mmbench.fusions.mag import MAGFusion
from mmbench.fusions.mfn import MFNFusion
from mmbench.fusions.misa import MISAFusion
from mmbench.fusions.mixer import MixerFusion
from mmbench.fusions.mult import MulTFusion
from mmbench.fusions.nl_gate import NLGateFusion
from mmbench.fusions.perceiver import PerceiverFusion
from mmbench.fusions.recurrent import RecurrentFusion
from mmbench.fusions.relation import RelationFusion
from mmbench.fusions.tetfn import TETFNFusion
from mmbench.testing import fusion_checks
from mmbench.types import Encoded

FUSIONS = [
    AttentionPoolingFusion,
    AttentionSumFusion,
    LateTransformerFusion,
    EarlyTransformerFusion,
    NLGateFusion,
    MulTFusion,
    BottleneckFusion,
    PerceiverFusion,
    RelationFusion,
    MixerFusion,
    OneToManyFusion,
    ManyToOneFusion,
    RecurrentFusion,
    EncoderDecoderFusion,
    ConcatEarlyFusion,
    ConvolutionFusion,
    MAGFusion,
    MISAFusion,
    MFNFusion,
    GraphMFNFusion,
    TETFNFusion,
    ALMTFusion,
    CENETFusion,
    HyperMixerFusion,
]
VARIANTS = [
    *((cls, {}) for cls in FUSIONS),
    (EarlyTransformerFusion, {"width": 18, "dropout": 0.3}),
    (NLGateFusion, {"asking": "b"}),
    (BottleneckFusion, {"width": 16, "bottlenecks": 1}),
    (PerceiverFusion, {"width": 16, "repeats": 3}),
    (RelationFusion, {"width": 16, "layers": 3}),
    (RecurrentFusion, {"cell": "lstm"}),
    (ConcatEarlyFusion, {"model": "conv"}),
    (MAGFusion, {"shifted": "b", "dropout": 0.3}),
    (HyperMixerFusion, {"tied": True}),
    (MISAFusion, {"similarity": 0.0, "difference": 0.0, "reconstruction": 0.0}),
]
DIMS = {"sound": 3, "image": 4, "text": 2}  # not in alphabetical order
ROWS, WIDTH, HEADS = 6, 8, 2
MASKS = {  # row 0 is complete, row 1 has gaps, row m + 2 misses modality m, row 5 all
    "sound": ["1111", "1011", "0000", "1100", "1000", "0000"],
    "image": ["111", "001", "110", "000", "111", "000"],
    "text": ["11111", "01001", "11110", "11000", "00000", "00000"],
}


@pytest.mark.parametrize("check", fusion_checks(), ids=lambda c: c.__name__)
@pytest.mark.parametrize(("cls", "params"), VARIANTS, ids=lambda v: getattr(v, "name", None))
def test_contract(cls, params, check):
    check(cls, **params)


def test_a_default_search_tries_none_of_them_unasked():
    assert {cls.offered for cls in FUSIONS} == {"named"}


def example():
    """Unequal lengths in every respect, and NaN for padding."""
    torch.manual_seed(7)
    features = {}
    for m, rows in MASKS.items():
        mask = torch.tensor([[c == "1" for c in row] for row in rows])
        tokens = torch.randn(*mask.shape, DIMS[m], dtype=torch.float64)
        features[m] = Encoded(torch.where(mask.unsqueeze(-1), tokens, torch.nan), mask)
    return features


def built(cls, **params):
    """In float64, with every parameter random: a formula that leaves one out must show."""
    torch.manual_seed(3)
    fusion = cls(DIMS, **params).double().eval()
    for p in fusion.parameters():
        p.data = torch.randn_like(p) * 0.5
    return fusion


def assert_computes(fusion, formula):
    """``formula`` takes {modality: [(time, token), …]}, real tokens only, of one sample."""
    features = example()
    with torch.no_grad():
        got = fusion(features)
        expected = torch.stack([formula(sample(features, i)) for i in range(ROWS)])
    torch.testing.assert_close(got.vector if isinstance(got, Fused) else got, expected)
    return got


def sample(features, i):
    return {
        m: [(t, e.tokens[i, t]) for t in range(e.mask.shape[1]) if e.mask[i, t]]
        for m, e in features.items()
    }


def linear(layer, x):
    return layer.weight @ x + (0 if layer.bias is None else layer.bias)


def norm(layer, x):
    mean = x.sum() / len(x)
    variance = ((x - mean) ** 2).sum() / len(x)
    return layer.weight * (x - mean) / math.sqrt(variance + 1e-5) + layer.bias


def gelu(x):
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def sigmoid(x):
    return 1 / (1 + (-x).exp())


def softmax(scores):
    total = sum(math.exp(s) for s in scores)
    return [math.exp(s) / total for s in scores]


def mean(vectors, width=WIDTH):
    return sum(vectors) / len(vectors) if vectors else torch.zeros(width).double()


def weighted(weights, vectors, width=WIDTH):
    total = torch.zeros(width).double()
    for w, v in zip(weights, vectors, strict=True):
        total = total + w * v
    return total


def attention(module, queries, keys, heads=HEADS):
    size, out = WIDTH // heads, []
    values = [linear(module.value, k) for k in keys]
    keys = [linear(module.key, k) for k in keys]
    for query in queries:
        query, parts = linear(module.query, query), []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            scores = [query[part] @ k[part] / math.sqrt(size) for k in keys]
            parts.append(weighted(softmax(scores), [v[part] for v in values], size))
        out.append(linear(module.out, torch.cat(parts)))
    return out


def perceptron(modules, x):
    first_norm, first, _, second = modules
    return linear(second, gelu(linear(first, norm(first_norm, x))))


def layer(module, queries, keys, heads=HEADS):
    found = attention(
        module.attention,
        [norm(module.norm, q) for q in queries],
        [norm(module.norm, k) for k in keys],
        heads,
    )
    hidden = [q + f for q, f in zip(queries, found, strict=True)]
    return [h + perceptron(module.feed_forward, h) for h in hidden]


def transformer(layers, tokens):
    for module in layers:
        tokens = layer(module, tokens, tokens)
    return tokens


def wide_layer(module, tokens):
    """Self-attention over tokens twice as wide: each of two heads has WIDTH units."""
    normal, after = [norm(module.norm, t) for t in tokens], []
    keys = [linear(module.attention.key, k) for k in normal]
    values = [linear(module.attention.value, k) for k in normal]
    for token, query in zip(tokens, normal, strict=True):
        query, parts = linear(module.attention.query, query), []
        for part in (slice(0, WIDTH), slice(WIDTH, 2 * WIDTH)):
            scores = [query[part] @ k[part] / math.sqrt(WIDTH) for k in keys]
            parts.append(weighted(softmax(scores), [v[part] for v in values]))
        hidden = token + linear(module.attention.out, torch.cat(parts))
        after.append(hidden + perceptron(module.feed_forward, hidden))
    return after


def positions(t, width=WIDTH):
    half = width // 2
    angles = [t / 10_000 ** (k / half) for k in range(half)]
    return torch.tensor([math.sin(a) for a in angles] + [math.cos(a) for a in angles]).double()


def projected(fusion, row, m):
    """The real tokens of m after the map and LayerNorm of ``Tokens``."""
    first, second = fusion.tokens.project[m]
    return [norm(second, linear(first, x)) for _, x in row[m]]


def pooled(row, m):
    return mean([x for _, x in row[m]], DIMS[m])


def test_attention_pooling_pools_tokens_and_then_modalities():
    fusion = built(AttentionPoolingFusion, width=WIDTH)

    def pool(module, vectors):
        scores = [module.score.weight[0] @ linear(module.hidden, v).tanh() for v in vectors]
        return softmax(scores)

    def formula(row):
        vectors = []
        for m in DIMS:
            if row[m]:
                hidden = [linear(fusion.project[m], x) for _, x in row[m]]
                summed = weighted(pool(fusion.tokens[m], hidden), hidden)
                vectors.append(norm(fusion.norms[m], summed))
        return weighted(pool(fusion.modalities, vectors), vectors)

    got = assert_computes(fusion, formula)
    torch.testing.assert_close(got.weights.sum(1), torch.tensor([1.0, 1, 1, 1, 1, 0]).double())


def test_attention_pooling_has_no_interaction_in_its_log_weights():
    dims = {"image": 4, "text": 2}
    torch.manual_seed(0)
    fusion = AttentionPoolingFusion(dims).double()
    one, other = (torch.randn(2, 1, d).double() for d in dims.values())
    ones = torch.ones(4, 1, dtype=torch.bool)
    features = {
        "image": Encoded(one[[0, 0, 1, 1]], ones),
        "text": Encoded(other[[0, 1, 0, 1]], ones),
    }
    logits = fusion(features).weights.log().diff(dim=1).squeeze(1)  # 00, 01, 10, 11
    torch.testing.assert_close(logits[0] + logits[3], logits[1] + logits[2])
    assert logits.std() > 1e-3


def test_attention_sum_adds_modalities_and_attention_of_each_pair():
    fusion = built(AttentionSumFusion, width=WIDTH, heads=HEADS)

    def formula(row):
        present = [(k, m) for k, m in enumerate(DIMS) if row[m]]
        total = torch.zeros(WIDTH).double()
        for k, m in present:
            total = total + fusion.weights[k] * linear(fusion.project.linear[m], pooled(row, m))
        for module, (one, other) in zip(fusion.attention, combinations(DIMS, 2), strict=True):
            if row[one] and row[other]:
                keys = projected(fusion, row, other)
                total = total + mean(attention(module, projected(fusion, row, one), keys))
        return total

    assert_computes(fusion, formula)


@pytest.mark.parametrize("layers", [1, 2])
def test_late_transformer_reads_a_learned_token_beside_one_per_modality(layers):
    fusion = built(LateTransformerFusion, width=WIDTH, heads=HEADS, layers=layers)

    def formula(row):
        present = [m for m in DIMS if row[m]]
        tokens = [linear(fusion.project.linear[m], pooled(row, m)) for m in present]
        return norm(fusion.norm, transformer(fusion.transformer, [fusion.first[0], *tokens])[0])

    assert_computes(fusion, formula)


def test_early_transformer_reads_a_learned_token_beside_all_tokens():
    fusion = built(EarlyTransformerFusion, width=WIDTH, heads=HEADS)

    def formula(row):
        tokens = [fusion.first[0]]
        for m in DIMS:
            for (t, _), x in zip(row[m], projected(fusion, row, m), strict=True):
                tokens.append(x + positions(t) + fusion.embedding[m])
        return norm(fusion.norm, transformer(fusion.transformer, tokens)[0])

    assert_computes(fusion, formula)


@pytest.mark.parametrize(
    ("given", "asking", "answering"),
    [("", "image", ["sound", "text"]), ("text", "text", ["image", "sound"])],
)
def test_nl_gate_adds_what_the_others_answer_in_alphabetical_order(given, asking, answering):
    fusion = built(NLGateFusion, width=WIDTH, asking=given)

    def formula(row):
        if not row[asking]:
            return torch.zeros(WIDTH).double()
        hidden = projected(fusion, row, asking)
        for m in answering:
            gate, keys = fusion.gates[m], projected(fusion, row, m)
            values = [linear(gate.value, k) for k in keys]
            after = []
            for h in hidden:
                query = linear(gate.query, h)
                weights = softmax([query @ linear(gate.key, k) for k in keys])
                after.append(h + linear(gate.out, weighted(weights, values)))
            hidden = after
        return norm(fusion.norm, mean(hidden))

    assert_computes(fusion, formula)


def test_mult_reinforces_every_target_from_every_source():
    fusion = built(MulTFusion, width=WIDTH, heads=HEADS, layers=2)

    def of(target, row):
        if not row[target]:
            return torch.zeros(2 * WIDTH).double()
        placed = {
            m: [
                x + positions(t)
                for (t, _), x in zip(row[m], projected(fusion, row, m), strict=True)
            ]
            for m in DIMS
        }
        streams = []
        for source in (m for m in DIMS if m != target):
            hidden = placed[target]
            for module in fusion.cross[target][source]:
                hidden = layer(module, hidden, placed[source])
            streams.append(hidden)
        hidden = [torch.cat(parts) for parts in zip(*streams, strict=True)]
        for module in fusion.alone[target]:
            hidden = wide_layer(module, hidden)
        return norm(fusion.norms[target], mean(hidden))

    assert_computes(fusion, lambda row: torch.cat([of(m, row) for m in DIMS]))


def test_bottleneck_exchanges_through_the_mean_of_shared_tokens():
    fusion = built(BottleneckFusion, width=WIDTH, heads=HEADS, bottlenecks=2, layers=3)

    def formula(row):
        present = [m for m in DIMS if row[m]]
        streams = {m: [fusion.first[m][0], *projected(fusion, row, m)] for m in present}
        shared = list(fusion.bottlenecks)
        for modules in fusion.layers:
            views = []
            for m in present:
                out = layer(modules[m], streams[m] + shared, streams[m] + shared)
                streams[m], view = out[:-2], out[-2:]
                views.append(view)
            shared = [mean([view[k] for view in views]) for k in range(2)]
        return mean([norm(fusion.norm, streams[m][0]) for m in present])

    assert_computes(fusion, formula)


def test_perceiver_reads_all_tokens_into_latents_again_and_again():
    fusion = built(PerceiverFusion, width=WIDTH, heads=HEADS, latents=3, repeats=2)

    def formula(row):
        tokens = [x for m in DIMS for x in projected(fusion, row, m)]
        latents = list(fusion.latents)
        for _ in range(2):
            latents = transformer(fusion.think, layer(fusion.read, latents, tokens))
        return norm(fusion.norm, mean(latents))

    assert_computes(fusion, formula)


@pytest.mark.parametrize("layers", [2, 3])
def test_relation_is_the_mean_of_what_all_pairs_say_of_the_question(layers):
    fusion = built(RelationFusion, width=WIDTH, layers=layers)

    def question(row, m):
        first, normal = fusion.question.project[m]
        return norm(normal, linear(first, mean([x for _, x in row[m]], DIMS[m])))

    def formula(row):
        objects, said = [x for m in DIMS for x in projected(fusion, row, m)], []
        for m in DIMS:
            others = [question(row, other) for other in DIMS if other != m and row[other]]
            q = sum(others, torch.zeros(WIDTH).double())
            for one in projected(fusion, row, m):
                read = (1 + linear(fusion.scale, q)) * linear(fusion.first, one)
                for other in objects:
                    pair = read + linear(fusion.asked, q) + linear(fusion.second, other)
                    for layer in fusion.deeper:
                        pair = linear(layer, pair.clamp(min=0))
                    said.append(pair.clamp(min=0))
        hidden = linear(fusion.f, norm(fusion.normal, mean(said)))
        return norm(fusion.norm, hidden.clamp(min=0))

    assert_computes(fusion, formula)


def test_relation_does_not_grow_with_the_number_of_objects():
    """A sum over pairs would be a hundred times as large for ten times the objects."""
    fusion, seen = built(RelationFusion), []
    fusion.requires_grad_(False)
    fusion.normal.register_forward_pre_hook(
        lambda _, given: seen.append(float(given[0].abs().mean()))
    )
    for objects in (2, 20):
        tokens = {m: torch.randn(50, objects, d).double() for m, d in DIMS.items()}
        fusion(
            {m: Encoded(t, torch.ones_like(t[..., 0], dtype=torch.bool)) for m, t in tokens.items()}
        )
    assert seen[1] == pytest.approx(seen[0], rel=0.3)


def test_mixer_mixes_slots_and_then_units():
    fusion = built(MixerFusion, width=WIDTH, slots=2)

    def formula(row):
        slots = []
        for m in DIMS:
            tokens = projected(fusion, row, m)
            found = attention(fusion.read[m], list(fusion.queries[m]), tokens, heads=1)
            slots += found if tokens else [torch.zeros(WIDTH).double()] * 2
        for module in fusion.layers:
            normal, (first, _, second) = [norm(module.norm, s) for s in slots], module.over_slots
            columns = []
            for unit in range(WIDTH):
                column = torch.stack([s[unit] for s in normal])
                columns.append(linear(second, gelu(linear(first, column))))
            slots = [s + torch.stack([c[k] for c in columns]) for k, s in enumerate(slots)]
            slots = [s + perceptron(module.over_units, s) for s in slots]
        return norm(fusion.norm, mean(slots))

    assert_computes(fusion, formula)


def test_one_to_many_attends_together_and_then_alone():
    fusion = built(OneToManyFusion, width=WIDTH, heads=HEADS)

    def formula(row):
        together = transformer(
            fusion.together, [x for m in DIMS for x in projected(fusion, row, m)]
        )
        blocks = []
        for m in DIMS:
            own, together = together[: len(row[m])], together[len(row[m]) :]
            vector = norm(fusion.norms[m], mean(transformer(fusion.alone[m], own)))
            blocks.append(vector if own else torch.zeros(WIDTH).double())
        return torch.cat(blocks)

    assert_computes(fusion, formula)


def test_many_to_one_attends_alone_and_then_together():
    fusion = built(ManyToOneFusion, width=WIDTH, heads=HEADS)

    def formula(row):
        tokens = [fusion.first[0]]
        for m in DIMS:
            tokens += transformer(fusion.alone[m], projected(fusion, row, m))
        return norm(fusion.norm, transformer(fusion.together, tokens)[0])

    assert_computes(fusion, formula)


def gru(module, tokens):
    state = torch.zeros(WIDTH).double()
    for x in tokens:
        given = module.weight_ih_l0 @ x + module.bias_ih_l0
        kept = module.weight_hh_l0 @ state + module.bias_hh_l0
        reset, update = (sigmoid(given[p] + kept[p]) for p in gates(2))
        new = (given[2 * WIDTH :] + reset * kept[2 * WIDTH :]).tanh()
        state = (1 - update) * new + update * state
    return state


def lstm(module, tokens):
    state = cell = torch.zeros(WIDTH).double()
    for x in tokens:
        sums = module.weight_ih_l0 @ x + module.bias_ih_l0
        sums = sums + module.weight_hh_l0 @ state + module.bias_hh_l0
        into, forget, new, out = (sums[p] for p in gates(4))
        cell = sigmoid(forget) * cell + sigmoid(into) * new.tanh()
        state = sigmoid(out) * cell.tanh()
    return state


def gates(count):
    return [slice(k * WIDTH, (k + 1) * WIDTH) for k in range(count)]


@pytest.mark.parametrize(("cell", "read"), [("gru", gru), ("lstm", lstm)])
def test_recurrent_reads_real_tokens_in_both_directions(cell, read):
    fusion = built(RecurrentFusion, width=WIDTH, cell=cell)

    def formula(row):
        tokens = [x for m in DIMS for x in projected(fusion, row, m)]
        one = read(fusion.forwards.recurrent, tokens)
        other = read(fusion.backwards.recurrent, tokens[::-1])
        return norm(fusion.norm, torch.cat([one, other]))

    assert_computes(fusion, formula)


def test_encoder_decoder_decodes_learned_queries():
    fusion = built(EncoderDecoderFusion, width=WIDTH, heads=HEADS, queries=3)

    def formula(row):
        memory = []
        for m in DIMS:
            encoded = transformer(fusion.encoders[m], projected(fusion, row, m))
            memory += [norm(fusion.memory, x) for x in encoded]
        hidden = list(fusion.queries)
        for module in fusion.decoder:
            normal = [norm(module.norm_own, h) for h in hidden]
            hidden = added(hidden, attention(module.own, normal, normal))
            normal = [norm(module.norm_cross, h) for h in hidden]
            hidden = added(hidden, attention(module.cross, normal, memory))
            hidden = [h + perceptron(module.feed_forward, h) for h in hidden]
        return norm(fusion.norm, mean(hidden))

    def added(one, other):
        return [a + b for a, b in zip(one, other, strict=True)]

    assert_computes(fusion, formula)


def aligned(row, m, steps):
    """What stands of m at each of ``steps``: its tokens, each as long as its share."""
    tokens = [x for _, x in row[m]]
    if not tokens:
        return [torch.zeros(DIMS[m]).double()] * steps
    return [tokens[math.floor(t * len(tokens) / steps)] for t in range(steps)]


def averaged(row, m, steps):
    """What stands of m at each of ``steps`` stretches of its tokens: their mean."""
    tokens = [x for _, x in row[m]]
    if not tokens:
        return [torch.zeros(DIMS[m]).double()] * steps
    n = len(tokens)
    return [
        mean(tokens[math.floor(t * n / steps) : math.ceil((t + 1) * n / steps)])
        for t in range(steps)
    ]


@pytest.mark.parametrize("model", ["gru", "conv"])
def test_concat_early_puts_aligned_tokens_side_by_side(model):
    fusion = built(ConcatEarlyFusion, width=WIDTH, model=model)

    def convolved(tokens):
        module, out = fusion.model.convolution, []
        for t in range(len(tokens)):
            total = module.bias
            for offset in (-1, 0, 1):
                if 0 <= t + offset < len(tokens):
                    total = total + module.weight[:, :, offset + 1] @ tokens[t + offset]
            out.append(gelu(total))
        return mean(out)

    def formula(row):
        steps = max(len(tokens) for tokens in row.values())
        streams = [aligned(row, m, steps) for m in DIMS]
        tokens = [torch.cat([stream[t] for stream in streams]) for t in range(steps)]
        read = gru(fusion.model.recurrent, tokens) if model == "gru" else convolved(tokens)
        return norm(fusion.norm, read)

    assert_computes(fusion, formula)


def test_stretching_repeats_tokens_evenly_and_keeps_equal_lengths():
    tokens = torch.arange(1.0, 5.0).reshape(1, 4, 1)
    three = Encoded(tokens, torch.tensor([[True, False, True, True]]))  # 1, 3, 4
    shown = [
        stretched(three, torch.tensor([steps]), 6).flatten().tolist() for steps in (6, 4, 3, 2, 0)
    ]
    assert shown == [
        [1, 1, 3, 3, 4, 4],
        [1, 1, 3, 4, 0, 0],
        [1, 3, 4, 0, 0, 0],
        [1, 3, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    assert compacted(tokens, three.mask).flatten().tolist() == [1, 3, 4, 2]


def test_convolution_slides_over_the_units_of_stacked_modalities():
    fusion = built(ConvolutionFusion, width=WIDTH, channels=4, kernel=5)
    first, _, second = fusion.convolution

    def formula(row):
        stacked = [
            linear(fusion.project.linear[m], pooled(row, m))
            if row[m]
            else torch.zeros(WIDTH).double()
            for m in DIMS
        ]
        out = []
        for unit in range(WIDTH):
            total = second.bias[0]
            for channel in range(4):
                value = first.bias[channel]
                for k, vector in enumerate(stacked):
                    for offset in range(-2, 3):
                        if 0 <= unit + offset < WIDTH:
                            weight = first.weight[channel, k, offset + 2]
                            value = value + weight * vector[unit + offset]
                total = total + second.weight[0, channel, 0] * gelu(value.unsqueeze(0))[0]
            out.append(total)
        return norm(fusion.norm, torch.stack(out))

    assert_computes(fusion, formula)


@pytest.mark.parametrize(
    ("given", "shifted", "others"),
    [("", "image", ["sound", "text"]), ("text", "text", ["image", "sound"])],
)
@pytest.mark.parametrize("beta", [0.05, 2.0])
def test_mag_shifts_each_token_by_a_bounded_share(given, shifted, others, beta):
    fusion = built(MAGFusion, width=WIDTH, shifted=given, beta=beta)
    shares = []

    def formula(row):
        if not row[shifted]:
            return torch.zeros(WIDTH).double()
        first, second = fusion.project
        steps, out = len(row[shifted]), []
        beside = {m: averaged(row, m, steps) for m in others}
        for t, (_, x) in enumerate(row[shifted]):
            token, shift = norm(second, linear(first, x)), torch.zeros(WIDTH).double()
            for m in others:
                gate = linear(fusion.gate[m], torch.cat([token, beside[m][t]])).clamp(min=0)
                shift = shift + gate * linear(fusion.shift[m], beside[m][t])
            size = math.sqrt(sum(v * v for v in shift))
            share = min(beta * math.sqrt(sum(v * v for v in token)) / size, 1) if size else 1
            shares.append(share)
            out.append(norm(fusion.norm, token + share * shift))
        return norm(fusion.norm_out, mean(out))

    assert_computes(fusion, formula)
    assert max(shares) < 1 if beta == 0.05 else max(shares) == 1  # both sides of the bound


def test_mag_hears_every_token_of_the_others():
    """Beside one token, and beside three, each of ten takes part."""
    for steps in (1, 3):
        fusion = built(MAGFusion, width=WIDTH, shifted="image")
        tokens = {
            m: torch.randn(2, 10 if m == "text" else steps, d).double() for m, d in DIMS.items()
        }
        tokens["text"].requires_grad_()
        ones = {m: torch.ones(x.shape[:2], dtype=torch.bool) for m, x in tokens.items()}
        features = {m: Encoded(x, ones[m], x.mean(1)) for m, x in tokens.items()}
        fusion(features).square().sum().backward()
        assert (tokens["text"].grad.abs().sum(2) > 0).all()


def test_misa_splits_and_penalises_per_sample():
    fusion = built(
        MISAFusion, width=WIDTH, heads=HEADS, similarity=0.7, difference=0.4, reconstruction=0.9
    )

    def parts(row):
        known = {
            m: norm(
                fusion.norm_in[m],
                linear(fusion.project.linear[m], pooled(row, m)).clamp(min=0),
            )
            for m in DIMS
            if row[m]
        }
        shared = {m: sigmoid(linear(fusion.shared, u)) for m, u in known.items()}
        private = {m: sigmoid(linear(fusion.private[m], u)) for m, u in known.items()}
        return known, shared, private

    def formula(row):
        _, shared, private = parts(row)
        tokens = [*shared.values(), *private.values()]
        fused = iter([norm(fusion.norm, x) for x in layer(fusion.layer, tokens, tokens)])
        zeros = torch.zeros(WIDTH).double()
        order = [*DIMS, *DIMS]
        return torch.cat([next(fused) if m in shared else zeros for m in order])

    def penalty(row):
        known, shared, private = parts(row)
        pairs = list(combinations(known, 2))
        near = [((shared[a] - shared[b]) ** 2).sum() / WIDTH for a, b in pairs]
        compared = [(shared[m], private[m]) for m in known]
        compared += [(private[a], private[b]) for a, b in pairs]
        alike = [(x @ y) ** 2 / ((x @ x) * (y @ y)) for x, y in compared]
        lost = [
            ((u - linear(fusion.decode, shared[m] + private[m])) ** 2).sum() / WIDTH
            for m, u in known.items()
        ]
        average = lambda values: sum(values) / max(len(values), 1)
        return 0.7 * average(near) + 0.4 * average(alike) + 0.9 * average(lost)

    got = assert_computes(fusion, formula)
    features = example()
    with torch.no_grad():
        expected = [float(penalty(sample(features, i))) for i in range(ROWS)]
    torch.testing.assert_close(got.penalty, torch.tensor(expected).double())


def lstm(weight, bias, recurrent, tokens):
    """Hidden states and cells after each token; gates in the order enter, keep, new, out."""
    hidden = cell = torch.zeros(WIDTH).double()
    states = []
    for x in tokens:
        gates = weight @ x + bias + recurrent.T @ hidden
        enter, keep, new, out = (gates[k * WIDTH : (k + 1) * WIDTH] for k in range(4))
        cell = sigmoid(keep) * cell + sigmoid(enter) * new.tanh()
        hidden = sigmoid(out) * cell.tanh()
        states.append((hidden, cell))
    return states


def two_layers(modules, x):
    first, _, second = modules
    return linear(second, linear(first, x).clamp(min=0))


def delta_attention(fusion, before, now):
    joined = torch.cat([torch.cat(pair) for pair in zip(before, now, strict=True)])
    weights = softmax(two_layers(fusion.across.attention, joined))
    return len(joined) * torch.tensor(weights).double() * joined


def fusion_graph(fusion, before, now):
    graph = fusion.across
    vertices = {
        (k,): linear(graph.singles[k], torch.cat(pair)).clamp(min=0)
        for k, pair in enumerate(zip(before, now, strict=True))
    }
    edges = iter(sigmoid(two_layers(graph.efficacy, torch.cat(list(vertices.values())))))
    below = {
        (0, 1): [(0,), (1,)],
        (0, 2): [(0,), (2,)],
        (1, 2): [(1,), (2,)],
        (0, 1, 2): [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)],
    }
    for network, (which, parents) in zip(graph.joints, below.items(), strict=True):
        read = torch.cat([next(edges) * vertices[p] for p in parents])
        vertices[which] = linear(network, read).clamp(min=0)
    return linear(graph.summary, torch.cat([next(edges) * v for v in vertices.values()]))


@pytest.mark.parametrize(
    ("cls", "found"), [(MFNFusion, delta_attention), (GraphMFNFusion, fusion_graph)]
)
def test_memory_fusion_networks_remember_what_happens_across_lstms(cls, found):
    fusion = built(cls, width=WIDTH)

    def formula(row):
        steps = max(len(tokens) for tokens in row.values())
        if not steps:
            return norm(fusion.norm, torch.zeros(4 * WIDTH).double())
        states = [
            lstm(
                fusion.lstms.inputs[m].weight,
                fusion.lstms.inputs[m].bias,
                fusion.lstms.recurrent[k],
                aligned(row, m, steps),
            )
            for k, m in enumerate(DIMS)
        ]
        before, memory = [torch.zeros(WIDTH).double()] * 3, torch.zeros(WIDTH).double()
        for t in range(steps):
            now = [stream[t][1] for stream in states]
            seen = found(fusion, before, now)
            keep = sigmoid(two_layers(fusion.memory.keep, seen))
            enter = sigmoid(two_layers(fusion.memory.enter, seen))
            memory = keep * memory + enter * two_layers(fusion.memory.new, seen).tanh()
            before = now
        return norm(fusion.norm, torch.cat([*(s[-1][0] for s in states), memory]))

    assert_computes(fusion, formula)


def test_an_lstm_is_the_one_of_torch():
    torch.manual_seed(0)
    lstms = MFNFusion(DIMS, width=WIDTH).double().lstms
    theirs = torch.nn.LSTM(DIMS["image"], WIDTH, batch_first=True).double()
    theirs.weight_ih_l0.data = lstms.inputs["image"].weight.data
    theirs.weight_hh_l0.data = lstms.recurrent.data[1].T
    theirs.bias_ih_l0.data, theirs.bias_hh_l0.data = (
        lstms.inputs["image"].bias.data,
        0 * (theirs.bias_hh_l0.data),
    )
    streams = [torch.randn(2, 5, d).double() for d in DIMS.values()]
    hidden, cells = lstms(streams)
    expected, (_, cell) = theirs(streams[1])
    torch.testing.assert_close(hidden[:, :, 1], expected)
    torch.testing.assert_close(cells[:, -1, 1], cell[0])


@pytest.mark.parametrize(("given", "main"), [("", "image"), ("text", "text")])
def test_tetfn_lets_others_hear_each_other_through_the_main_modality(given, main):
    fusion = built(TETFNFusion, width=WIDTH, heads=HEADS, main=given)

    def of(target, row):
        if not row[target]:
            return torch.zeros(2 * WIDTH).double()
        placed = {
            m: [
                x + positions(t)
                for (t, _), x in zip(row[m], projected(fusion, row, m), strict=True)
            ]
            for m in DIMS
        }
        streams = []
        for source in (m for m in DIMS if m != target):
            heard = placed[source]
            if main not in (target, source):
                heard = layer(fusion.enhance[target][source], heard, placed[main])
            (module,) = fusion.cross[target][source]
            streams.append(layer(module, placed[target], heard))
        hidden = [torch.cat(parts) for parts in zip(*streams, strict=True)]
        (module,) = fusion.alone[target]
        return norm(fusion.norms[target], mean(wide_layer(module, hidden)))

    assert_computes(fusion, lambda row: torch.cat([of(m, row) for m in DIMS]))


@pytest.mark.parametrize(("given", "main"), [("", "image"), ("text", "text")])
def test_almt_gathers_a_hyper_modality_at_every_scale_of_the_main_one(given, main):
    fusion = built(ALMTFusion, width=WIDTH, heads=HEADS, slots=3, scales=3, layers=2, main=given)
    others = [m for m in DIMS if m != main]

    def formula(row):
        slots = {}
        for m in DIMS:
            tokens = [
                x + positions(t)
                for (t, _), x in zip(row[m], projected(fusion, row, m), strict=True)
            ]
            start = list(fusion.slots[m])
            slots[m] = layer(fusion.read[m], start, start + tokens)
        hyper, guide = list(fusion.hyper), slots[main]
        for scale, gather in enumerate(fusion.gather):
            if scale:
                guide = layer(fusion.guide[scale - 1], guide, guide)
            for m in others:
                if row[m]:
                    keys = [norm(gather.norms[m], s) for s in slots[m]]
                    asking = [norm(gather.norm, g) for g in guide]
                    found = attention(gather.attention[m], asking, keys)
                    hyper = [h + f for h, f in zip(hyper, found, strict=True)]
        for module in fusion.cross:
            guide = layer(module, guide, hyper)
        return norm(fusion.norm, mean(guide))

    assert_computes(fusion, formula)


@pytest.mark.parametrize(("given", "main"), [("", "image"), ("text", "text")])
def test_cenet_shifts_the_main_modality_by_what_it_finds_in_the_others(given, main):
    fusion = built(CENETFusion, width=WIDTH, heads=HEADS, main=given)

    def formula(row):
        if not row[main]:
            return torch.zeros(WIDTH).double()
        first, second = fusion.project
        tokens = [norm(second, linear(first, x)) + positions(t) for t, x in row[main]]
        shifted = tokens
        for m in (m for m in DIMS if m != main and row[m]):
            keys = [two_layers(fusion.embed[m], x) for _, x in row[m]]
            found = attention(fusion.enhance[m], tokens, keys, heads=1)
            shifted = [s + f for s, f in zip(shifted, found, strict=True)]
        return norm(fusion.norm, mean(transformer(fusion.transformer, shifted)))

    assert_computes(fusion, formula)


@pytest.mark.parametrize("tied", [False, True])
def test_hyper_mixer_mixes_tokens_by_weights_made_from_them(tied):
    fusion = built(HyperMixerFusion, width=WIDTH, hidden=3, tied=tied)

    def generated(modules, tokens):
        first, _, second = modules
        return [linear(second, gelu(linear(first, x))) for x in tokens]

    def formula(row):
        tokens = [
            x + positions(t) + fusion.embedding[m]
            for m in DIMS
            for (t, _), x in zip(row[m], projected(fusion, row, m), strict=True)
        ]
        for module in fusion.layers:
            normal = [norm(module.norm, x) for x in tokens]
            first = generated(module.first, normal)
            second = first if tied else generated(module.second, normal)
            found = (
                [gelu(sum(w[k] * x for w, x in zip(first, normal, strict=True))) for k in range(3)]
                if tokens
                else []
            )
            mixed = [norm(module.norm_out, sum(w[k] * found[k] for k in range(3))) for w in second]
            tokens = [x + y for x, y in zip(tokens, mixed, strict=True)]
            tokens = [x + perceptron(module.over_units, x) for x in tokens]
        return norm(fusion.norm, mean(tokens))

    assert_computes(fusion, formula)


@pytest.mark.parametrize(
    ("cls", "given"),
    [
        (NLGateFusion, "asking"),
        (MAGFusion, "shifted"),
        (TETFNFusion, "main"),
        (ALMTFusion, "main"),
        (CENETFusion, "main"),
    ],
)
def test_a_misspelt_modality_is_named_with_its_nearest(cls, given):
    with pytest.raises(UnknownName, match=r"'imgae'.*Did you mean 'image'"):
        cls(DIMS, **{given: "imgae"})
