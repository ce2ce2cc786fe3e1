"""Each fusion as one would write it by hand for complete data: the measure of what ours cost.

``PLAIN[name](fusion, xs)`` takes the parameters of a fusion and plain tensors in the order of its
``dims``: vectors (batch, dim), tokens (batch, time, dim) for the names in ``TOKENS``, outputs
(batch, n_outputs) for decision-level ones. It gives the fused vector, or (vector, penalty). There
is no mask, no count of who is there, no report of weights; in training mode it draws what ours
draws. Vectors come with their gaps zeroed where a fusion takes missing modalities.

These are the same torch calls as ours, without the bookkeeping: concat, unit-concat, stack,
sigma-linear, glu, gate, product, film, mi-*, tensor, mlb, mutan, tucker, block, block-tucker, mfb,
mfh, mcb, lowrank, mmtm, series, convolution, deepset, late-transformer, hyper-mixer, the recurrent
and all attention fusions. The others are written in another way here: they stack nothing where a
sum of terms does.
"""

import functools
from collections.abc import Callable, Sequence
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbench.fusions._attention import sinusoids
from mmbench.fusions._bilinear import power_normalised
from mmbench.fusions.confidence import ENERGY_SCALE
from mmbench.fusions.late_vote import SMOOTHING
from mmbench.fusions.mcvae import LOG_2_PI
from mmbench.fusions.product_of_experts import LARGEST_LOG_VARIANCE
from mmbench.fusions.unit_concat import EPSILON as SMALLEST

Plain = Callable[[nn.Module, Sequence[Tensor]], Tensor | tuple[Tensor, Tensor]]
PLAIN: dict[str, Plain] = {}
TOKENS: set[str] = set()


def plain(*names, tokens=False):
    def register(function):
        PLAIN.update(dict.fromkeys(names, function))
        TOKENS.update(names if tokens else ())
        return function

    return register


def mapped(maps, xs):
    return [f(x) for f, x in zip(maps.values(), xs, strict=True)]


def times(xs):
    return functools.reduce(torch.mul, xs)


def weighted(weights, xs):
    """Σ_m w_m x_m; weights broadcast against each x."""
    first, *others = [w * x for w, x in zip(weights, xs, strict=True)]
    return sum(others, first)


# --- joined, summed, gated


@plain("concat")
def concat(f, xs):
    return torch.cat(xs, dim=-1)


@plain("unit-concat")
def unit_concat(f, xs):
    sizes = [(x.square().sum(dim=-1, keepdim=True) + SMALLEST).rsqrt() for x in xs]
    return f.length * torch.cat([x * size for x, size in zip(xs, sizes, strict=True)], dim=-1)


@plain("stack")
def stack(f, xs):
    return torch.cat(mapped(f.project.linear, xs), dim=-1)


@plain("average")
def average(f, xs):
    return weighted(f.logits.softmax(dim=0), mapped(f.project.linear, xs))


@plain("sum")
def weighted_sum(f, xs):
    return weighted(f.weights, mapped(f.project.linear, xs))


@plain("max")
def highest(f, xs):
    return functools.reduce(torch.maximum, mapped(f.project.linear, xs))


@plain("weighted-concat")
def weighted_concat(f, xs):
    weights = len(xs) * f.logits.softmax(dim=0)
    return torch.cat([w * x for w, x in zip(weights, xs, strict=True)], dim=-1)


@plain("sigma-linear")
def sigma_linear(f, xs):
    return f.linear(torch.cat(xs, dim=-1)).sigmoid()


@plain("glu")
def glu(f, xs):
    return F.glu(f.linear(torch.cat(xs, dim=-1)))


@plain("softmax-gated")
def softmax_gated(f, xs):
    weights = f.score(torch.cat(xs, dim=-1)).softmax(dim=-1).split(1, dim=-1)
    return weighted(weights, mapped(f.project.linear, xs))


@plain("gate")
def gate(f, xs):
    content, *others = xs
    return f.score(torch.cat(others, dim=-1)).sigmoid() * f.project(content)


@plain("gated")
def gated(f, xs):
    gates = f.score(torch.cat(xs, dim=-1)).unflatten(-1, (len(xs), -1)).softmax(dim=1)
    return weighted(gates.unbind(1), [h.tanh() for h in mapped(f.project.linear, xs)])


@plain("film")
def film(f, xs):
    hidden = f.project(xs[0])
    for condition, x in zip(f.condition.values(), xs[1:], strict=True):
        scale, shift = condition(x).chunk(2, dim=-1)
        hidden = (1 + scale) * f.norm(hidden) + shift
    return hidden


@plain("mmtm")
def mmtm(f, xs):
    joint = f.squeeze(torch.cat(xs, dim=-1)).relu()
    gates = [2 * excite(joint).sigmoid() for excite in f.excite.values()]
    return torch.cat([g * x for g, x in zip(gates, xs, strict=True)], dim=-1)


@plain("embracenet")
def embracenet(f, xs):
    docked = torch.stack(mapped(f.dock.linear, xs), dim=1).relu()
    if not f.training:
        return docked.mean(dim=1)
    drawn = torch.randint(len(xs), (len(docked), 1, f.out_dim), device=docked.device)
    return docked.gather(1, drawn).squeeze(1)


# --- multiplied


@plain("product")
def product(f, xs):
    return f.norm(times(mapped(f.project.linear, xs)))


@plain("activation")
def activation(f, xs):
    projected = mapped(f.project.linear, xs)
    return torch.cat([f.norm(times(projected)).tanh().sigmoid(), projected[0]], dim=-1)


def narrow(f, xs):
    return mapped(f.narrow.maps, xs)


def pairwise(x, y):
    return (x.unsqueeze(2) * y.unsqueeze(1)).flatten(1)


@plain("channel-attention")
def channel_attention(f, xs):
    main, other, *rest = xs
    return activation(f, [main, other * f.excite(other), *rest])


@plain("mi-matrix")
def mi_matrix(f, xs):
    products = [pairwise(x, y) for x, y in combinations(narrow(f, xs), 2)]
    return f.bilinear(torch.cat(products, dim=-1)) + f.linear(torch.cat(xs, dim=-1))


@plain("mi-vector", "mi-scalar")
def mi_vector(f, xs):
    hidden = f.project(xs[0])
    for scale, shift, x in zip(f.scale.values(), f.shift.values(), xs[1:], strict=True):
        hidden = scale(x) * hidden + shift(x)
    return hidden


@plain("tensor")
def tensor(f, xs):
    return functools.reduce(pairwise, [F.pad(x, (0, 1), value=1.0) for x in narrow(f, xs)])


@plain("lowrank")
def lowrank(f, xs):
    factors = [
        torch.baddbmm(w[:, -1:], x.expand(len(w), *x.shape), w[:, :-1])
        for w, x in zip(f.factors.values(), xs, strict=True)
    ]  # each (rank, batch, width)
    return (times(factors) * f.rank_weights[:, None, None]).sum(dim=0) + f.bias


def factors_of(f, xs, *, tanh):
    factors = mapped(f.linear, xs)
    return [x.tanh() for x in factors] if tanh else factors


@plain("mlb")
def mlb(f, xs):
    return f.out(times(factors_of(f.factors, xs, tanh=True)))


@plain("mutan")
def mutan(f, xs):
    product = times(mapped(f.slices, factors_of(f.factors, xs, tanh=True)))
    return f.out(product.unflatten(-1, (f.rank, -1)).sum(dim=1))


@plain("tucker")
def tucker(f, xs):
    hidden, *others = factors_of(f.factors, xs, tanh=True)
    for core, x in zip(f.cores, others, strict=True):
        hidden = pairwise(hidden, x) @ core
    return f.out(hidden)


def chunked(factors, chunks):
    """Each (batch, chunks × size) as (chunks, batch, size)."""
    return [x.unflatten(-1, (chunks, -1)).transpose(0, 1) for x in factors]


@plain("block")
def block(f, xs):
    factors = chunked(factors_of(f.factors, xs, tanh=False), f.chunks)
    slices = [w.flatten(2) for w in f.slices.values()]
    product = times(torch.bmm(x, w) for x, w in zip(factors, slices, strict=True))
    rank = next(iter(f.slices.values())).shape[2]
    blocks = power_normalised(product.unflatten(-1, (rank, -1)).sum(dim=2))
    return f.out(blocks.transpose(0, 1).flatten(1))


@plain("block-tucker")
def block_tucker(f, xs):
    hidden, *others = chunked(factors_of(f.factors, xs, tanh=False), f.chunks)
    for core, x in zip(f.cores, others, strict=True):
        hidden = torch.bmm((hidden.unsqueeze(3) * x.unsqueeze(2)).flatten(2), core)
    return f.out(power_normalised(hidden).transpose(0, 1).flatten(1))


@plain("mfb")
def mfb(f, xs):
    product = f.dropout(times(factors_of(f.factors, xs, tanh=False)))
    return power_normalised(product.unflatten(-1, (-1, f.k)).sum(dim=-1))


@plain("mfh")
def mfh(f, xs):
    expanded, squeezed = None, []
    for factors in f.blocks:
        product = f.dropout(times(factors_of(factors, xs, tanh=False)))
        expanded = product if expanded is None else product * expanded
        squeezed.append(power_normalised(expanded.unflatten(-1, (-1, f.k)).sum(dim=-1)))
    return torch.cat(squeezed, dim=-1)


@plain("mcb")
def mcb(f, xs):
    spectra = []
    for sketch, x in zip(f.sketches.values(), xs, strict=True):
        empty = x.new_zeros(len(x), f.out_dim)
        spectra.append(torch.fft.rfft(empty.index_add(1, sketch.buckets, x * sketch.signs)))
    if len(xs) > 2:
        spectra = [s + 1 for s in spectra]
    return power_normalised(torch.fft.irfft(times(spectra), n=f.out_dim))


# --- networks on vectors


@plain("convolution")
def convolution(f, xs):
    return f.norm(f.convolution(torch.stack(mapped(f.project.linear, xs), dim=1)).squeeze(1))


@plain("deepset")
def deepset(f, xs):
    elements = f.element(torch.stack(mapped(f.project.linear, xs), dim=1))
    return f.whole(elements.mean(dim=1))


@plain("series")
def series(f, xs):
    first, *others = f.stages.values()
    hidden = first(xs[0])
    for stage, x in zip(others, xs[1:], strict=True):
        hidden = stage(torch.cat([x, hidden], dim=-1))
    return hidden


@plain("channel-multiplication")
def channel_multiplication(f, xs):
    hidden, *streams = xs
    for layer in f.layers:
        streams = [y.relu() for y in mapped(layer.streams, streams)]
        hidden = layer.norm(times([layer.main(hidden).relu(), *mapped(layer.scales, streams)]))
    return hidden


@plain("product-of-experts")
def product_of_experts(f, xs):
    log_variances = torch.stack(mapped(f.log_variance.linear, xs), dim=1)
    precision = (-log_variances.clamp(-LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)).exp()
    variance = 1 / (1 + precision.sum(dim=1))
    mean = variance * (precision * torch.stack(mapped(f.mean.linear, xs), dim=1)).sum(dim=1)
    divergence = 0.5 * (mean.square() + variance - 1 - variance.log()).sum(dim=-1)
    z = mean + variance.sqrt() * torch.randn_like(mean) if f.training else mean
    return z, f.kl_weight * divergence


@plain("mcvae")
def mcvae(f, xs):
    means, log_variances = mapped(f.mean.linear, xs), mapped(f.log_variance.linear, xs)
    log_variances = [v.clamp(-LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE) for v in log_variances]
    noises = [v.clamp(-LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE) for v in f.log_noise.values()]
    latents, lost = means, 0
    if f.training:
        spreads = [(0.5 * v).exp() for v in log_variances]
        latents = [m + s * torch.randn_like(m) for m, s in zip(means, spreads, strict=True)]
    for mean, log_variance, latent in zip(means, log_variances, latents, strict=True):
        lost = lost + 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=-1)
        for x, decode, noise in zip(xs, f.decode.values(), noises, strict=True):
            scaled = (x.detach() - decode(latent)).square() * (-noise).exp()
            lost = lost + 0.5 * (scaled + noise + LOG_2_PI).sum(dim=-1)
    return sum(latents[1:], latents[0]) / len(xs), f.elbo_weight * lost / len(xs)


@plain("cell")
def cell(f, xs):
    first, *others = mapped(f.project.linear, xs)
    rest = sum(others[1:], others[0]) / len(others)
    glu, multiply = f.nodes
    one = glu.norm(glu.map(torch.cat([first, rest], dim=-1)))
    return torch.cat([one, multiply.norm(first * one)], dim=-1)


@plain("dynamic-routing")
def dynamic_routing(f, xs):
    joined = torch.cat(xs, dim=-1)
    cheap = mapped(f.cheap.linear, xs)
    raw = [*mapped(f.alone.linear, xs), sum(cheap[1:], cheap[0]) / len(xs), f.full(joined)]
    logits = f.gate(joined)
    if f.training:
        gates = F.gumbel_softmax(logits, f.temperature, hard=True)
    else:
        gates = F.one_hot(logits.argmax(dim=-1), len(raw)).to(logits.dtype)
    normal = [norm(x) for norm, x in zip(f.norms, raw, strict=True)]
    return weighted(gates.split(1, dim=-1), normal), f.cost_weight * (gates @ f.costs)


# --- decisions


@plain("dual")
def dual(f, xs):
    return torch.cat([F.normalize(x, dim=1, eps=1e-6) for x in xs], dim=1)


@plain("late-average")
def late_average(f, xs):
    return sum(xs[1:], xs[0]) / len(xs)


@plain("late-entropy")
def late_entropy(f, xs):
    scores = torch.stack(xs, dim=1)
    fixed = scores.detach()
    entropies = -(fixed.softmax(dim=-1) * fixed.log_softmax(dim=-1)).sum(dim=-1)
    return ((-entropies).softmax(dim=1).unsqueeze(-1) * scores).sum(dim=1)


@plain("late-max")
def late_max(f, xs):
    scores = torch.stack(xs, dim=1)
    smooth = scores.logsumexp(dim=1)  # its gradient is the one ours has
    return scores.amax(dim=1).detach() + smooth - smooth.detach()


@plain("late-product")
def late_product(f, xs):
    return sum(xs[1:], xs[0]) + (1 - len(xs)) * f.log_prior


@plain("late-stacking")
def late_stacking(f, xs):
    return F.linear(torch.cat(xs, dim=-1), f.weight.transpose(0, 1).flatten(1), f.bias)


@plain("late-vote")
def late_vote(f, xs):
    votes = (torch.stack(xs, dim=1) / f.temperature).softmax(dim=-1).sum(dim=1)
    return ((SMOOTHING + votes) / (SMOOTHING * f.out_dim + len(xs))).log()


@plain("late-weighted")
def late_weighted(f, xs):
    return weighted(f.logits.softmax(dim=0), xs)


@plain("confidence")
def confidence(f, xs):
    scores = torch.stack(xs, dim=1)
    energy = f.temperature * (scores.detach() / f.temperature).logsumexp(dim=-1, keepdim=True)
    return (energy / ENERGY_SCALE * scores).sum(dim=1)


@plain("evidential")
def evidential(f, xs):
    evidence = F.softplus(torch.stack(xs, dim=1))
    strength = evidence.sum(dim=-1, keepdim=True) + f.out_dim
    beliefs, unsure = (evidence / strength).unbind(1), (f.out_dim / strength).unbind(1)
    b, u = beliefs[0], unsure[0]
    for b_m, u_m in zip(beliefs[1:], unsure[1:], strict=True):
        b, u = b * b_m + u_m * b + u * b_m, u * u_m
        agreed = b.sum(dim=-1, keepdim=True) + u
        b, u = b / agreed, u / agreed
    return (b + u / f.out_dim).log()


# --- attention


def attention(a, queries, keys):
    q = a.query(queries).unflatten(-1, (a.heads, -1)).transpose(1, 2)
    k = a.key(keys).unflatten(-1, (a.heads, -1)).permute(0, 2, 3, 1)
    v = a.value(keys).unflatten(-1, (a.heads, -1)).transpose(1, 2)
    weights = (q * q.shape[-1] ** -0.5 @ k).softmax(dim=-1)
    return a.out((weights @ v).transpose(1, 2).flatten(2))


def layer(f, queries, keys=None):
    asking = f.norm(queries)
    hidden = queries + attention(f.attention, asking, asking if keys is None else f.norm(keys))
    return hidden + f.feed_forward(hidden)


def transformer(layers, tokens):
    return functools.reduce(lambda x, f: layer(f, x), layers, tokens)


def first_of(layers, tokens):
    """Only what becomes of the first token."""
    *before, last = layers
    tokens = transformer(before, tokens)
    return layer(last, tokens[:, :1], tokens).squeeze(1)


def led(leader, tokens):
    return torch.cat([leader.expand(len(tokens), *leader.shape), tokens], dim=1)


def tokens_of(f, xs):
    return mapped(f.tokens.project, xs)


@plain("late-transformer")
def late_transformer(f, xs):
    tokens = torch.stack(mapped(f.project.linear, xs), dim=1)
    return f.norm(first_of(f.transformer, led(f.first, tokens)))


@plain("early-transformer", tokens=True)
def early_transformer(f, xs):
    embedded = zip(tokens_of(f, xs), f.embedding.values(), strict=True)
    tokens = torch.cat([x + sinusoids(x) + e for x, e in embedded], dim=1)
    return f.norm(first_of(f.transformer, led(f.first, tokens)))


@plain("hierarchical-one-to-many", tokens=True)
def one_to_many(f, xs):
    hidden = transformer(f.together, torch.cat(tokens_of(f, xs), dim=1))
    streams = hidden.split([x.shape[1] for x in xs], dim=1)
    alone = [transformer(t, x).mean(dim=1) for t, x in zip(f.alone.values(), streams, strict=True)]
    return torch.cat(mapped(f.norms, alone), dim=-1)


@plain("hierarchical-many-to-one", tokens=True)
def many_to_one(f, xs):
    streams = zip(f.alone.values(), tokens_of(f, xs), strict=True)
    hidden = torch.cat([transformer(t, x) for t, x in streams], dim=1)
    return f.norm(first_of(f.together, led(f.first, hidden)))


@plain("perceiver", tokens=True)
def perceiver(f, xs):
    tokens = torch.cat(tokens_of(f, xs), dim=1)
    latents = f.latents.expand(len(tokens), *f.latents.shape)
    for _ in range(f.repeats):
        latents = transformer(f.think, layer(f.read, latents, tokens))
    return f.norm(latents.mean(dim=1))


@plain("relation", tokens=True)
def relation(f, xs):
    tokens = tokens_of(f, xs)
    asked = mapped(f.question.project, [x.mean(dim=1, keepdim=True) for x in xs])
    all_asked, read = sum(asked), []
    for x, own in zip(tokens, asked, strict=True):
        read.append(f.first(x) * (1 + f.scale(all_asked - own)) + f.asked(all_asked - own))
    first, second = torch.cat(read, dim=1), f.second(torch.cat(tokens, dim=1))
    pairs = torch.relu(first.unsqueeze(2) + second.unsqueeze(1))
    for layer in f.deeper:
        pairs = torch.relu(layer(pairs))
    return f.norm(torch.relu(f.f(f.normal(pairs.mean(dim=(1, 2))))))


@plain("encoder-decoder", tokens=True)
def encoder_decoder(f, xs):
    streams = zip(f.encoders.values(), tokens_of(f, xs), strict=True)
    memory = f.memory(torch.cat([transformer(t, x) for t, x in streams], dim=1))
    hidden = f.queries.expand(len(memory), *f.queries.shape)
    for d in f.decoder:
        normal = d.norm_own(hidden)
        hidden = hidden + attention(d.own, normal, normal)
        hidden = hidden + attention(d.cross, d.norm_cross(hidden), memory)
        hidden = hidden + d.feed_forward(hidden)
    return f.norm(hidden.mean(dim=1))


@plain("bottleneck", tokens=True)
def bottleneck(f, xs):
    streams = [led(c, x) for c, x in zip(f.first.values(), tokens_of(f, xs), strict=True)]
    shared = f.bottlenecks.expand(len(xs[0]), *f.bottlenecks.shape)
    count = shared.shape[1]
    *before, last = f.layers
    for layers in before:
        joint = [torch.cat([shared, x], dim=1) for x in streams]
        hidden = [layer(g, x) for g, x in zip(layers.values(), joint, strict=True)]
        streams = [h[:, count:] for h in hidden]
        shared = sum([h[:, :count] for h in hidden[1:]], hidden[0][:, :count]) / len(xs)
    joint = [torch.cat([shared, x], dim=1) for x in streams]
    heads = zip(last.values(), streams, joint, strict=True)
    firsts = [f.norm(layer(g, x[:, :1], both).squeeze(1)) for g, x, both in heads]
    return sum(firsts[1:], firsts[0]) / len(xs)


@plain("mixer", tokens=True)
def mixer(f, xs):
    slots = []
    for read, queries, x in zip(f.read.values(), f.queries.values(), tokens_of(f, xs), strict=True):
        slots.append(attention(read, queries.expand(len(x), *queries.shape), x))
    hidden = torch.cat(slots, dim=1)
    for mix in f.layers:
        hidden = hidden + mix.over_slots(mix.norm(hidden).transpose(1, 2)).transpose(1, 2)
        hidden = hidden + mix.over_units(hidden)
    return f.norm(hidden.mean(dim=1))


@plain("cross-attention", tokens=True)
def cross_attention(f, xs):
    tokens, vectors = mapped(f.project, xs), []
    for i, (norm, b) in enumerate(zip(f.norms.values(), f.blocks.values(), strict=True)):
        keys = torch.cat(tokens[:i] + tokens[i + 1 :], dim=1)
        hidden = tokens[i] + attention(b, tokens[i], keys)
        vectors.append(norm((hidden + b.feed_forward(hidden)).mean(dim=1)))
    return torch.cat(vectors, dim=-1)


def reinforced(f, xs, heard):
    tokens, vectors = [x + sinusoids(x) for x in tokens_of(f, xs)], []
    for i, target in enumerate(f.dims):
        streams = []
        for j, source in enumerate(f.dims):
            if j != i:
                keys, layers = heard(target, source, tokens[j], tokens[0]), f.cross[target][source]
                streams.append(
                    functools.reduce(lambda h, g, k=keys: layer(g, h, k), layers, tokens[i])
                )
        hidden = transformer(f.alone[target], torch.cat(streams, dim=-1))
        vectors.append(f.norms[target](hidden.mean(dim=1)))
    return torch.cat(vectors, dim=-1)


@plain("mult", tokens=True)
def mult(f, xs):
    return reinforced(f, xs, lambda target, source, tokens, main: tokens)


@plain("tetfn", tokens=True)
def tetfn(f, xs):
    def heard(target, source, tokens, main):
        if f.main in (target, source):
            return tokens
        return layer(f.enhance[target][source], tokens, main)

    return reinforced(f, xs, heard)


@plain("cenet", tokens=True)
def cenet(f, xs):
    main, *others = xs
    tokens = f.project(main)
    shifted = tokens = tokens + sinusoids(tokens)
    for enhance, keys in zip(f.enhance.values(), mapped(f.embed, others), strict=True):
        shifted = shifted + attention(enhance, tokens, keys)
    return f.norm(transformer(f.transformer, shifted).mean(dim=1))


@plain("almt", tokens=True)
def almt(f, xs):
    read = []
    for m, slots, x in zip(f.slots, f.slots.values(), tokens_of(f, xs), strict=True):
        joint = led(slots, x + sinusoids(x))
        read.append(layer(f.read[m], joint[:, : len(slots)], joint))
    guide, *others = read
    hyper = f.hyper
    for i, gather in enumerate(f.gather):
        guide = layer(f.guide[i - 1], guide) if i else guide
        asking = gather.norm(guide)
        for norm, a, x in zip(
            gather.norms.values(), gather.attention.values(), others, strict=True
        ):
            hyper = hyper + attention(a, asking, norm(x))
    return f.norm(functools.reduce(lambda g, c: layer(c, g, hyper), f.cross, guide).mean(dim=1))


@plain("hyper-mixer", tokens=True)
def hyper_mixer(f, xs):
    embedded = zip(tokens_of(f, xs), f.embedding.values(), strict=True)
    tokens = torch.cat([x + sinusoids(x) + e for x, e in embedded], dim=1)
    for mix in f.layers:
        normal = mix.norm(tokens)
        found = F.gelu(mix.first(normal).mT @ normal)
        tokens = tokens + mix.norm_out(mix.second(normal) @ found)
        tokens = tokens + mix.over_units(tokens)
    return f.norm(tokens.mean(dim=1))


@plain("nl-gate", tokens=True)
def nl_gate(f, xs):
    hidden, *others = tokens_of(f, xs)
    for g, x in zip(f.gates.values(), others, strict=True):
        weights = torch.bmm(g.query(hidden), g.key(x).mT).softmax(dim=-1)
        hidden = hidden + g.out(torch.bmm(weights, g.value(x)))
    return f.norm(hidden.mean(dim=1))


@plain("attention-sum", tokens=True)
def attention_sum(f, xs):
    total = weighted(f.weights, mapped(f.project.linear, [x.mean(dim=1) for x in xs]))
    pairs = combinations(tokens_of(f, xs), 2)
    for a, (one, other) in zip(f.attention, pairs, strict=True):
        total = total + attention(a, one, other).mean(dim=1)
    return total


def pooled_by(pool, tokens):
    weights = pool.score(pool.hidden(tokens).tanh()).softmax(dim=1)
    return (weights * tokens).sum(dim=1)


@plain("attention-pooling", tokens=True)
def attention_pooling(f, xs):
    hidden = zip(f.tokens.values(), mapped(f.project, xs), strict=True)
    vectors = mapped(f.norms, [pooled_by(pool, h) for pool, h in hidden])
    return pooled_by(f.modalities, torch.stack(vectors, dim=1))


@plain("misa")
def misa(f, xs):
    known = mapped(f.norm_in, [h.relu() for h in mapped(f.project.linear, xs)])
    private = torch.stack([p.sigmoid() for p in mapped(f.private, known)], dim=1)
    known = torch.stack(known, dim=1)
    shared = f.shared(known).sigmoid()
    z = f.norm(layer(f.layer, torch.cat([shared, private], dim=1))).flatten(1)
    one, other = (list(side) for side in zip(*combinations(range(len(xs)), 2), strict=True))
    apart = (shared[:, one] - shared[:, other]).square().mean(dim=(1, 2))
    pairs = [(shared, private), (private[:, one], private[:, other])]
    alike = torch.cat([F.cosine_similarity(*pair, dim=-1) for pair in pairs], dim=1)
    lost = (known - f.decode(shared + private)).square().mean(dim=(1, 2))
    alike = alike.square().mean(dim=1)
    return z, f.similarity * apart + f.difference * alike + f.reconstruction * lost


# --- in the order of tokens


@plain("concat-early", tokens=True)
def concat_early(f, xs):
    return f.norm(f.model.recurrent(torch.cat(xs, dim=-1))[1].squeeze(0))


@plain("recurrent", tokens=True)
def recurrent(f, xs):
    tokens = torch.cat(tokens_of(f, xs), dim=1)
    one = f.forwards.recurrent(tokens)[1].squeeze(0)
    other = f.backwards.recurrent(tokens.flip(1))[1].squeeze(0)
    return f.norm(torch.cat([one, other], dim=-1))


def lstm(given, recurrent):
    """Hidden states and cells (batch, time, width)."""
    hidden = cell = torch.zeros_like(given[:, 0].chunk(4, dim=-1)[0])
    states = []
    for step in given.unbind(1):
        enter, keep, new, out = (step + hidden @ recurrent).chunk(4, dim=-1)
        cell = keep.sigmoid() * cell + enter.sigmoid() * new.tanh()
        hidden = out.sigmoid() * cell.tanh()
        states.append((hidden, cell))
    return [torch.stack(s, dim=1) for s in zip(*states, strict=True)]


def memory_fusion(f, xs, across):
    given = mapped(f.lstms.inputs, xs)
    states = [lstm(x, w) for x, w in zip(given, f.lstms.recurrent, strict=True)]
    changes = [torch.cat([F.pad(c, (0, 0, 1, -1)), c], dim=-1) for _, c in states]
    found = across(f.across, changes)
    keep, enter, new = f.memory.keep(found), f.memory.enter(found), f.memory.new(found)
    written, memory = enter.sigmoid() * new.tanh(), 0
    for share, entry in zip(keep.sigmoid().unbind(1), written.unbind(1), strict=True):
        memory = share * memory + entry
    return f.norm(torch.cat([*(h[:, -1] for h, _ in states), memory], dim=-1))


@plain("mfn", tokens=True)
def mfn(f, xs):
    def across(delta, changes):
        joined = torch.cat(changes, dim=-1)
        return joined.shape[-1] * delta.attention(joined).softmax(dim=-1) * joined

    return memory_fusion(f, xs, across)


@plain("graph-mfn", tokens=True)
def graph_mfn(f, xs):
    def across(graph, changes):
        vertices = [s(c).relu() for s, c in zip(graph.singles, changes, strict=True)]
        edges = iter(graph.efficacy(torch.cat(vertices, dim=-1)).sigmoid().split(1, dim=-1))
        for joint, parents in zip(graph.joints, graph.parents, strict=True):
            read = [next(edges) * vertices[i] for i in parents]
            vertices.append(joint(torch.cat(read, dim=-1)).relu())
        return graph.summary(torch.cat([next(edges) * v for v in vertices], dim=-1))

    return memory_fusion(f, xs, across)


@plain("mag", tokens=True)
def mag(f, xs):
    tokens, shift = f.project(xs[0]), 0
    for g, s, x in zip(f.gate.values(), f.shift.values(), xs[1:], strict=True):
        shift = shift + g(torch.cat([tokens, x], dim=-1)).relu() * s(x)
    size, change = ((x.square().sum(-1, keepdim=True) + 1e-12).sqrt() for x in (tokens, shift))
    share = (f.beta * size / change).clamp(max=1)
    return f.norm_out(f.dropout(f.norm(tokens + share * shift)).mean(dim=1))
