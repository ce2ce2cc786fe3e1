"""Paradigms that shape representations compute their formula."""

import math
from itertools import permutations

import pytest
import torch

from mmbench.contracts import Outputs
from mmbench.errors import Incompatible, InvalidParameter
from mmbench.losses import supervised_loss
from mmbench.model import FusionModel
from mmbench.objectives import functional_entropy
from mmbench.objectives._contrast import info_nce, unlike
from mmbench.objectives.contrastive import ContrastiveObjective
from mmbench.objectives.deep_cca import DeepCCAObjective, total_correlation
from mmbench.objectives.functional_entropy import FunctionalEntropyObjective, divergences
from mmbench.objectives.mctn import MCTNObjective
from mmbench.objectives.mfm import MFMObjective
from mmbench.objectives.mmim import MMIMObjective
from mmbench.objectives.mvae import MVAEObjective
from mmbench.objectives.refnet import RefNetObjective, multi_similarity
from mmbench.testing.practice import Practice, installed
from mmbench.types import Column, Encoded, Task

ALL = [
    ContrastiveObjective,
    DeepCCAObjective,
    MFMObjective,
    MVAEObjective,
    MCTNObjective,
    RefNetObjective,
    FunctionalEntropyObjective,
    MMIMObjective,
]
KINDS = ["classification", "multilabel", "regression"]
DIMS = {"a": 4, "b": 3, "c": 4}
ROWS, FUSED, OUTPUTS = 12, 5, 3
F64 = torch.float64


# --- Examples and slow formulas


def task(kind="classification", modalities=DIMS):
    return Task(dict.fromkeys(modalities, "tabular"), kind, ("x", "y", "z"), "accuracy")


def example(dims=DIMS, rows=ROWS):
    """Outputs of a batch in float64; a misses row 0, b rows 1 and 2, and 3 and 4 share their b."""
    torch.manual_seed(0)
    features = {}
    for modality, missing in zip(dims, ([0], [1, 2], []), strict=False):
        vectors = torch.randn(rows, dims[modality], dtype=F64)
        if modality == "b":
            vectors[4] = vectors[3]
        present = torch.ones(rows, dtype=torch.bool)
        present[missing] = False
        features[modality] = Encoded.vector(vectors.requires_grad_(), present)
    scores, fused = (torch.randn(rows, n, dtype=F64).requires_grad_() for n in (OUTPUTS, FUSED))
    return Outputs(scores, fused, {}, features), torch.arange(rows) % OUTPUTS


def built(cls, dims=DIMS, kind="classification", **params):
    torch.manual_seed(1)
    return cls(task(kind, dims), dims, FUSED, **params).double()


def extra(objective, outputs, target):
    """What an objective adds to the task's loss."""
    plain = supervised_loss(objective.task.target, outputs.scores, target).mean()
    return (objective(outputs, target) - plain).item()


def having(outputs, *modalities):
    """The rows that have all of these modalities."""
    return [
        i for i in range(len(outputs.scores))
        if all(outputs.features[m].present[i] for m in modalities)
    ]  # fmt: skip


def row(outputs, modality, i):
    return outputs.features[modality].pooled[i]


def scaled(vector):
    """One row with mean zero and variance one over its units."""
    vector = vector.detach()
    mean = sum(vector.tolist()) / len(vector)
    variance = sum((x - mean) ** 2 for x in vector.tolist()) / len(vector)
    return (vector - mean) / math.sqrt(variance + 1e-5)


def cosine(one, other):
    return (one @ other / (one.norm() * other.norm())).item()


def mean(values):
    values = list(values)
    return sum(values) / max(len(values), 1)


def mean_square(vector):
    return mean(x * x for x in vector.tolist())


# --- Common to them


@pytest.mark.parametrize("cls", ALL, ids=lambda c: c.name)
def test_what_a_missing_row_holds_does_not_count(cls):
    outputs, target = example()
    objective = built(cls)
    features = {
        m: Encoded(
            torch.where(e.mask.unsqueeze(-1), e.tokens, torch.nan),
            e.mask,
            torch.where(e.present.unsqueeze(-1), e.pooled, torch.nan),
        )
        for m, e in outputs.features.items()
    }
    broken = Outputs(outputs.scores, outputs.fused, {}, features)
    loss = objective(broken, target)
    assert loss.item() == pytest.approx(objective(outputs, target).item())
    loss.backward()
    assert all(p.grad.isfinite().all() for p in objective.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    "cls", [ContrastiveObjective, DeepCCAObjective, MCTNObjective, FunctionalEntropyObjective]
)
def test_one_modality_alone_is_plain_training(cls):
    outputs, target = example({"a": 4})
    objective = built(cls, {"a": 4})
    assert not list(objective.parameters())
    assert extra(objective, outputs, target) == 0
    started = Practice(cls, "classification", modalities=("a",)).start()
    model, batch = started.model.eval(), next(started.course.batches(started.train))
    plain = supervised_loss("classification", model(batch).scores, batch.target).mean()
    assert started.trainer.objective.loss(model, batch).item() == plain.item()


@pytest.mark.parametrize(
    "cls",
    [ContrastiveObjective, DeepCCAObjective, MFMObjective, MCTNObjective, RefNetObjective,
     MMIMObjective],
)  # fmt: skip
def test_training_improves_what_the_objective_adds(cls):
    started = Practice(cls, "regression").start()
    objective, batch = started.trainer.objective, next(started.course.batches(started.val))

    def added():
        with torch.no_grad():
            return extra(objective.eval(), started.model.eval()(batch), batch.target)

    before = added()
    started.fit()
    after = added()
    assert after < before - 0.1 * abs(before)


# --- InfoNCE and contrastive


def slow_nce(similarity, rows, distinct):
    losses = []
    for i in rows:
        others = [similarity[i][j] for j in rows if j != i and distinct(i, j)]
        own = math.exp(similarity[i][i])
        losses.append(-math.log(own / (own + sum(map(math.exp, others)))))
    return mean(losses)


def test_rows_of_one_column_value_are_the_same_and_no_others():
    index = torch.tensor([0, 1, 0, 2, 1, 0, -1])
    encode = torch.nn.Linear(6, 33)
    values = torch.randn(3, 6)
    encoded = Column(values, index).spread(Encoded.vector(encode(values)))
    same = index.unsqueeze(0) == index.unsqueeze(1)
    assert torch.equal(unlike(encoded.pooled), ~same)


def test_values_that_differ_by_one_rounding_are_not_the_same():
    vectors = torch.ones(2, 500)
    vectors[1, 7] = torch.nextafter(vectors[1, 7], torch.tensor(2.0))
    assert unlike(vectors)[0, 1]


def test_an_anchor_without_negatives_costs_nothing():
    similarity = torch.randn(4, 4, requires_grad=True)
    everything = torch.ones(4, dtype=torch.bool)
    for counted, distinct in (
        (everything, torch.zeros(4, 4, dtype=torch.bool)),  # ten questions about one image
        (torch.tensor([True, False, False, False]), torch.ones(4, 4, dtype=torch.bool)),
        (~everything, torch.ones(4, 4, dtype=torch.bool)),
    ):
        loss = info_nce(similarity, counted, distinct)
        loss.backward()
        assert loss.item() == 0
    assert similarity.grad.abs().max() == 0


@pytest.mark.parametrize("learned", [True, False])
def test_contrastive_is_symmetric_infonce_of_every_pair(learned):
    outputs, target = example()
    objective = built(ContrastiveObjective, weight=0.3, temperature=0.2, learned=learned)
    expected = 0.0
    for one, other in (("a", "b"), ("a", "c"), ("b", "c")):
        embedded = [
            [objective.project[m](row(outputs, m, i)) for i in range(ROWS)] for m in (one, other)
        ]
        similarity = [[cosine(u, v) / 0.2 for v in embedded[1]] for u in embedded[0]]
        turned = [list(column) for column in zip(*similarity, strict=True)]
        rows = having(outputs, one, other)
        shared = {3, 4} if "b" in (one, other) else None
        for s in (similarity, turned):
            expected += 0.3 * slow_nce(s, rows, lambda i, j, shared=shared: {i, j} != shared) / 2
    assert extra(objective, outputs, target) == pytest.approx(expected)


def test_contrastive_temperature_is_bounded_and_trained_only_if_asked():
    assert built(ContrastiveObjective, temperature=0.07).temperature().item() == pytest.approx(0.07)
    fixed = built(ContrastiveObjective, learned=False)
    assert not list(fixed.temperature.parameters())
    learned = built(ContrastiveObjective)
    for warmth, bound in ((-1e4, 0.01), (1e4, 1.0)):
        torch.nn.init.constant_(learned.temperature.warmth, warmth)
        assert learned.temperature().item() == pytest.approx(bound)


# --- Deep CCA


def slow_correlation(u, v, ridge):
    """By the symmetric roots of the covariances, from their eigenvectors."""
    u, v = ((x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-8).sqrt() for x in (u, v))
    roots = []
    for x in (u, v):
        values, vectors = torch.linalg.eigh(x.T @ x / len(x) + ridge * torch.eye(x.shape[1]))
        roots.append(vectors @ values.rsqrt().diag() @ vectors.T)
    return torch.linalg.matrix_norm(roots[0] @ (u.T @ v / len(u)) @ roots[1], "nuc").item()


def correlated(rows=40, k=3):
    torch.manual_seed(0)
    u = torch.randn(rows, k, dtype=F64)
    return u, u @ torch.randn(k, k, dtype=F64) + torch.randn(rows, k, dtype=F64)


def everyone(vectors):
    return torch.ones(len(vectors), dtype=torch.bool)


def test_deep_cca_is_the_trace_norm_over_the_rows_that_have_both():
    outputs, target = example()
    objective = built(DeepCCAObjective, weight=0.5, width=2, ridge=0.05)
    expected = 0.0
    for one, other in (("a", "b"), ("a", "c"), ("b", "c")):
        rows = having(outputs, one, other)
        u, v = (objective.project[m](outputs.features[m].pooled[rows]) for m in (one, other))
        expected -= 0.5 * slow_correlation(u, v, 0.05)
    assert extra(objective, outputs, target) == pytest.approx(expected)


def test_total_correlation_ignores_invertible_maps_and_knows_its_bounds():
    u, v = correlated()
    total = total_correlation(u, v, everyone(u), 1e-9)
    mixed = u @ torch.randn(3, 3, dtype=F64) * 1e3 + 5
    assert total_correlation(mixed, v, everyone(u), 1e-9).item() == pytest.approx(total.item())
    assert total_correlation(u, mixed, everyone(u), 1e-9).item() == pytest.approx(3)
    torch.manual_seed(1)
    noise = torch.randn(20_000, 3, dtype=F64), torch.randn(20_000, 3, dtype=F64)
    assert total_correlation(*noise, everyone(noise[0]), 1e-9).item() < 0.1


def test_deep_cca_gradient_is_right_and_finite_for_equal_correlations():
    u, v = (x.requires_grad_() for x in correlated(10))
    assert torch.autograd.gradcheck(lambda *x: total_correlation(*x, everyone(u), 0.01), (u, v))
    for same in (torch.randn(30, 4), torch.zeros(30, 4), 1e6 * torch.randn(30, 1).expand(30, 4)):
        one, other = same.clone().requires_grad_(), same.clone().requires_grad_()
        total = total_correlation(one, other, everyone(one), 0.01)
        total.backward()
        assert total.isfinite() and one.grad.isfinite().all() and other.grad.isfinite().all()


def test_deep_cca_leaves_out_a_batch_with_too_few_rows():
    outputs, target = example({"a": 4, "b": 3})  # 9 rows have both
    assert extra(built(DeepCCAObjective, {"a": 4, "b": 3}, width=9), outputs, target) == 0
    assert extra(built(DeepCCAObjective, {"a": 4, "b": 3}, width=8), outputs, target) < 0


# --- Reconstruction: MFM, MVAE, MCTN, ReFNet


def test_mfm_rebuilds_every_modality_from_its_private_factor_and_the_fused_vector():
    outputs, target = example()
    objective = built(MFMObjective, weight=0.3, private=2)
    expected = 0.0
    for m in DIMS:
        losses = []
        for i in having(outputs, m):
            x = row(outputs, m, i)
            factors = torch.cat([objective.private[m](x), outputs.fused[i]])
            losses.append(mean_square(scaled(x) - objective.decode[m](factors)))
        expected += 0.3 * mean(losses)
    assert extra(objective, outputs, target) == pytest.approx(expected)


def test_mctn_translates_every_ordered_pair_there_and_back():
    outputs, target = example()
    objective = built(MCTNObjective, weight=0.3, cycle=0.7)
    expected = 0.0
    for s, t in permutations(DIMS, 2):
        losses = []
        for i in having(outputs, s, t):
            x, y = scaled(row(outputs, s, i)), scaled(row(outputs, t, i))
            there = objective.translate[f"{s} to {t}"](x)
            back = objective.translate[f"{t} to {s}"](there)
            losses.append(mean_square(there - y) + 0.7 * mean_square(back - x))
        expected += 0.3 * mean(losses)
    assert len(objective.translate) == 6
    assert extra(objective, outputs, target) == pytest.approx(expected)


def test_refnet_is_one_minus_the_cosine_of_what_is_refined_from_the_fused_vector():
    outputs, target = example()
    objective = built(RefNetObjective, weight=0.3)
    expected = 0.0
    for m in DIMS:
        refined = {i: objective.refine[m](outputs.fused[i]) for i in having(outputs, m)}
        expected += 0.3 * mean(1 - cosine(r, row(outputs, m, i)) for i, r in refined.items())
    assert extra(objective, outputs, target) == pytest.approx(expected)


def slow_multi_similarity(vectors, classes):
    losses = []
    for i in range(len(vectors)):
        positives = negatives = 0.0
        for j in range(len(vectors)):
            s = cosine(vectors[i], vectors[j]) - 1
            if classes[i] != classes[j]:
                negatives += math.exp(50 * s)
            elif i != j:
                positives += math.exp(-2 * s)
        losses.append(math.log(1 + positives) / 2 + math.log(1 + negatives) / 50)
    return mean(losses)


def test_refnet_adds_the_multi_similarity_of_classes():
    outputs, target = example()
    expected = slow_multi_similarity(outputs.fused, target.tolist())
    assert multi_similarity(outputs.fused, target).item() == pytest.approx(expected)
    bare, full = (built(RefNetObjective, similarity=s) for s in (0.0, 0.4))
    gained = extra(full, outputs, target) - extra(bare, outputs, target)
    assert gained == pytest.approx(0.4 * expected)


def test_refnet_says_what_is_wrong_with_its_similarity():
    with pytest.raises(Incompatible, match=r"the target is regression.*Leave it at 0"):
        built(RefNetObjective, kind="regression", similarity=0.1)
    for wrong in (-0.1, math.nan):
        with pytest.raises(InvalidParameter, match="0 or more"):
            built(RefNetObjective, similarity=wrong)


@pytest.mark.parametrize("cls", [MFMObjective, MCTNObjective, RefNetObjective, MVAEObjective])
def test_what_is_to_be_rebuilt_does_not_move(cls):
    """With the ways that lead from features to the guess cut, no gradient reaches features."""
    outputs, target = example()
    objective = built(cls)
    for name, parameter in objective.named_parameters():
        if name.startswith(("private", "translate")) and name.endswith("0.weight"):
            torch.nn.init.zeros_(parameter)
    vectors = [e.pooled for e in outputs.features.values()]
    objective(outputs, target).backward(inputs=[*vectors, outputs.fused])
    assert all(v.grad is None or v.grad.abs().max() == 0 for v in vectors)


def experts(fusion, encoded, modalities):
    """The posterior of a product of experts for one row: mean and variance, one unit at a time."""
    means, variances = [], []
    for unit in range(fusion.out_dim):
        precision, weighted = 1.0, 0.0
        for m in modalities:
            mu = fusion.mean.linear[m](encoded[m])[unit].item()
            t = math.exp(-fusion.log_variance.linear[m](encoded[m])[unit].item())
            precision, weighted = precision + t, weighted + t * mu
        means.append(weighted / precision)
        variances.append(1 / precision)
    return means, variances


def bound(objective, fusion, features, i, present, kl_weight):
    """Negative evidence lower bound of one row and the modalities present, at z = μ."""
    encoded = {m: features[m].pooled[i] for m in present}
    means, variances = experts(fusion, encoded, present)
    kl = sum((mu * mu + v - 1 - math.log(v)) / 2 for mu, v in zip(means, variances, strict=True))
    z = torch.tensor(means, dtype=F64)
    lost = {m: mean_square(scaled(encoded[m]) - objective.decode[m](z)) for m in present}
    return lost, kl_weight * kl


def mvae(**settings):
    started = Practice(MVAEObjective, "regression", {"weight": 0.3}, **settings).start()
    batch = next(started.course.batches(started.train)).rows(torch.arange(16))
    columns = {m: Column(c.values.double(), c.index) for m, c in batch.columns.items()}
    batch = type(batch)(columns, batch.target.double())
    return started.model.double().eval(), started.trainer.objective.double(), batch


def test_mvae_is_the_bound_of_all_modalities_and_of_each_alone():
    model, objective, batch = mvae(missing=0.4)
    features, kl_weight = model.encode(batch), model.fusion.kl_weight
    outputs = model.respond(features)
    rows = {m: e.present.nonzero().flatten().tolist() for m, e in features.items()}
    assert 0 < len(rows["b"]) < 16
    lost, penalties = {"a": [], "b": []}, []
    for i in range(16):
        each, penalty = bound(
            objective, model.fusion, features, i, [m for m in rows if i in rows[m]], kl_weight
        )
        penalties.append(penalty)
        for m, value in each.items():
            lost[m].append(value)
    expected = supervised_loss("regression", outputs.scores, batch.target).mean().item()
    expected += mean(penalties) + 0.3 * sum(mean(values) for values in lost.values())
    for m in rows:
        alone = [bound(objective, model.fusion, features, i, [m], kl_weight) for i in rows[m]]
        expected += mean(0.3 * each[m] + penalty for each, penalty in alone)
    assert objective.loss(model, batch).item() == pytest.approx(expected)


def test_mvae_bound_of_one_modality_does_not_see_the_others():
    model, objective, batch = mvae()
    features = model.encode(batch)
    other = {**features, "b": Encoded.vector(torch.randn_like(features["b"].pooled))}
    one, two = (objective.bound_alone(model, model.respond(f), "a") for f in (features, other))
    assert one.item() == two.item()


# --- MMIM


def test_mmim_is_barber_agakov_of_pairs_and_cpc_of_the_fused_vector():
    outputs, target = example()
    objective = built(MMIMObjective, pairwise=0.2, fused=0.3)
    expected = 0.0
    for m, n in permutations(DIMS, 2):
        likelihoods = []
        for i in having(outputs, m, n):
            mu, spread = objective.gaussian[f"{m} to {n}"](row(outputs, m, i)).chunk(2)
            variance = (5 * (spread / 5).tanh()).exp()
            normal = torch.distributions.Normal(mu, variance.sqrt())
            likelihood = normal.log_prob(scaled(row(outputs, n, i))).mean().item()
            likelihoods.append(likelihood + 0.5 * math.log(2 * math.pi))
        expected -= 0.2 * mean(likelihoods)
    for m in DIMS:
        expects = [objective.predict[m](z) for z in outputs.fused]
        similarity = [[cosine(e, row(outputs, m, j)) if m_has(outputs, m, j) else 0.0
                       for j in range(ROWS)] for e in expects]  # fmt: skip
        shared = {3, 4} if m == "b" else None
        expected += 0.3 * slow_nce(
            similarity, having(outputs, m), lambda i, j, shared=shared: {i, j} != shared
        )
    assert extra(objective, outputs, target) == pytest.approx(expected)


def m_has(outputs, modality, i):
    return bool(outputs.features[modality].present[i])


def test_mmim_predicts_a_fixed_modality_so_that_its_entropy_is_a_constant():
    outputs, _ = example()
    objective = built(MMIMObjective)
    source, goal = (outputs.features[m].pooled for m in ("a", "b"))
    source.retain_grad()
    goal.retain_grad()
    objective.likelihood(outputs.features, "a", "b").backward()
    assert source.grad.abs().max() > 0
    assert goal.grad is None


# --- Functional entropy


def wavering(**settings):
    """A trained-looking linear model in float64, in evaluation mode, and a batch of 12 rows."""
    kind = settings.pop("kind", "classification")
    started = Practice(FunctionalEntropyObjective, kind, settings.pop("params", {}), **settings)
    started = started.start()
    batch = next(started.course.batches(started.train)).rows(torch.arange(12))
    columns = {m: Column(c.values.double(), c.index) for m, c in batch.columns.items()}
    batch = type(batch)(columns, batch.target)
    return started.model.double().eval(), started.trainer.objective.double(), batch


def probabilities(scores):
    exponents = [math.exp(s) for s in scores]
    return [e / sum(exponents) for e in exponents]


def slow_information(weight, scores, vectors, noise, drawn):
    """The mean of |∇d|² / d for scores that are linear in the vectors: ∇d = σ Wᵀ (q − p)."""
    deviation = noise * (vectors - vectors.mean(0)).square().mean(0).sqrt()
    informations = []
    for clean, standard_normal in zip(scores, drawn, strict=True):
        p = probabilities(clean.tolist())
        q = probabilities((clean + weight @ (deviation * standard_normal)).tolist())
        d = sum(x * math.log(x / y) for x, y in zip(p, q, strict=True))
        apart = torch.tensor([y - x for x, y in zip(p, q, strict=True)], dtype=F64)
        slope = deviation * (weight.T @ apart)
        informations.append((slope @ slope).item() / (d + 1e-6))
    return mean(informations)


@pytest.mark.parametrize("samples", [1, 3])
def test_functional_entropy_is_the_fisher_information_of_each_modality(samples):
    model, objective, batch = wavering(
        encoder="vector", params={"weight": 0.2, "samples": samples, "noise": 0.5}
    )
    outputs = model(batch)
    weight = next(p for p in model.head.parameters() if p.ndim == 2)
    torch.manual_seed(3)
    expected = supervised_loss("classification", outputs.scores, batch.target).mean().item()
    for m, columns in (("a", slice(0, 5)), ("b", slice(5, 10))):
        vectors = outputs.features[m].pooled
        drawn = [torch.randn(12, 1, 5, dtype=F64).squeeze(1) for _ in range(samples)]
        information = mean(
            slow_information(weight[:, columns], outputs.scores, vectors, 0.5, d) for d in drawn
        )
        expected += 0.2 * math.log(1 + 1 / (information + 1e-6))
    torch.manual_seed(3)
    assert objective.loss(model, batch).item() == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_divergences_are_those_of_torch(kind):
    torch.manual_seed(0)
    clean, noisy = torch.randn(2, 7, 3, dtype=F64)
    if kind == "classification":
        p, q = (torch.distributions.Categorical(logits=x) for x in (clean, noisy))
        expected = torch.distributions.kl_divergence(p, q)
    else:
        p, q = (torch.distributions.Bernoulli(logits=x) for x in (clean, noisy))
        expected = torch.distributions.kl_divergence(p, q).mean(-1)
    assert torch.allclose(divergences(kind, clean, noisy), expected)
    assert divergences(kind, 1e4 * clean, 1e4 * noisy).isfinite().all()


def test_functional_entropy_gradient_is_that_of_finite_differences(monkeypatch):
    model, objective, batch = wavering(params={"weight": 0.3})
    # the width of the noise is a measure of the data, to which no gradient goes
    monkeypatch.setattr(functional_entropy, "deviation", lambda _: 0.7)

    def loss():
        torch.manual_seed(5)
        return objective.loss(model, batch)

    loss().backward()
    for parameter in model.parameters():
        place = (0,) * parameter.ndim
        step = torch.zeros_like(parameter)
        step[place] = 1e-6
        with torch.no_grad():
            parameter += step
            up = loss_value(loss)
            parameter -= 2 * step
            down = loss_value(loss)
            parameter += step
        assert parameter.grad[place].item() == pytest.approx((up - down) / 2e-6, abs=1e-6)


def loss_value(loss):
    with torch.enable_grad():
        return loss().item()


def test_functional_entropy_makes_a_neglected_modality_count():
    model, objective, batch = wavering(encoder="vector", params={"weight": 0.3})
    weight = next(p for p in model.head.parameters() if p.ndim == 2)
    with torch.no_grad():
        weight[:, 5:] *= 0.01

    def information():
        torch.manual_seed(5)
        return objective.information(model, model(batch), "b").mean()

    before = information()
    slope = torch.autograd.grad(-(before.reciprocal().log1p()), weight)[0][:, 5:]
    with torch.no_grad():
        weight[:, 5:] += 1e-3 * slope / slope.norm()
    assert information() > before


@pytest.mark.parametrize("scale", [0.0, 1e-8, 1e3])
def test_functional_entropy_is_finite_for_a_modality_that_does_nothing_or_everything(scale):
    model, objective, batch = wavering(encoder="vector", missing=0.3)
    weight = next(p for p in model.head.parameters() if p.ndim == 2)
    with torch.no_grad():
        weight[:, 5:] *= scale
    loss = objective.loss(model, batch)
    loss.backward()
    assert loss.isfinite() and all(p.grad.isfinite().all() for p in model.parameters())


def test_functional_entropy_leaves_missing_rows_out():
    model, objective, batch = wavering(missing=0.5)
    features = model.encode(batch)
    present = features["b"].present
    assert 0 < present.sum() < 12
    torch.manual_seed(5)
    information = objective.information(model, model.respond(features), "b")
    assert information[~present].abs().max() == 0
    assert information[present].min() > 0


def sequences():
    torch.manual_seed(0)
    mask = torch.tensor([[True, True, False]] * 5 + [[True] * 3] * 3)
    return {m: Encoded(torch.randn(8, 3, 6).requires_grad_(), mask.clone()) for m in ("a", "b")}


FUSIONS = sorted(n for n, f in installed().fusions.items() if f.offered != "baseline")


@pytest.mark.parametrize("name", FUSIONS)
def test_functional_entropy_differentiates_twice_through_every_fusion(name):
    fusion_class = installed().fusions[name]
    decides = fusion_class.capabilities.level == "decision"
    torch.manual_seed(0)
    fusion = fusion_class(dict.fromkeys(("a", "b"), OUTPUTS if decides else 6))
    heads = {m: torch.nn.Linear(6, OUTPUTS) for m in ("a", "b")} if decides else {}
    head = None if decides else torch.nn.Linear(fusion.out_dim, OUTPUTS)
    model = FusionModel({}, fusion, head, heads).train()
    objective = FunctionalEntropyObjective(task(), {"a": 6, "b": 6}, OUTPUTS)
    outputs = model.respond(sequences())
    information = objective.information(model, outputs, "a").mean()
    information.backward()
    assert information.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
