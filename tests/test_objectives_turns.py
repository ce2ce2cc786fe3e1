"""Paradigms in which modalities take turns, or have labels of their own, do what they say."""

import math

import pytest
import torch
from by_hand import Hand, outputs_of
from slow_formulas import softmax

from mmbench.losses import supervised_loss
from mmbench.objectives.mla import MLAObjective
from mmbench.objectives.reconboost import ReconBoostObjective
from mmbench.objectives.self_mm import SelfMMObjective
from mmbench.optimizer import AdamW

F64 = torch.float64
LEARNERS = ("a", "b")


def mean(values):
    values = list(values)
    return sum(values) / max(len(values), 1)


def having(features, *modalities):
    """The rows that have all of these modalities."""
    rows = range(len(features[modalities[0]]))
    return [i for i in rows if all(features[m].present[i] for m in modalities)]


def learning(gradients):
    """Which modalities' encoders have a gradient."""
    return {n.split(".")[1] for n in gradients if n.startswith("encoders.")}


# --- MLA


def mla(**settings):
    hand = Hand(MLAObjective, missing=0.3, **settings)
    hand.objective.begin_epoch(0, hand.model, hand.course)
    return hand


def heard(hand, modality):
    """What the shared head reads, and the modality's own loss: a mean over the rows it has."""
    encoded = hand.model.encode(hand.batch)[modality]
    project, head = hand.model.unimodal_heads[modality]
    read = project(encoded.pooled)
    losses = supervised_loss("classification", head(read), hand.batch.target)
    rows = having({modality: encoded}, modality)
    return read[rows].mean(0), losses[rows].mean()


def taken(hand):
    """Of each modality's turn: the slopes of its loss before, and the steps of gradient descent."""
    turns, remember = [], hand.objective.remember

    def named():
        return {n: p.detach().clone() for n, p in hand.model.named_parameters()}

    def before_the_turn():
        modality = LEARNERS[len(turns)]
        mean_read, own = heard(hand, modality)
        parameters = dict(hand.model.named_parameters())
        slopes = torch.autograd.grad(own, list(parameters.values()), allow_unused=True)
        learnt = {n: s for n, s in zip(parameters, slopes, strict=True) if s is not None}
        return modality, mean_read, own.item(), learnt, named()

    def after_the_turn(read, present):
        remember(read, present)
        modality, mean_read, own, slopes, start = started.pop()
        steps = {n: start[n] - p for n, p in named().items()}
        turns.append((modality, mean_read.detach(), own, slopes, steps))
        if len(turns) < len(LEARNERS):
            started.append(before_the_turn())

    started = [before_the_turn()]
    hand.objective.remember = after_the_turn
    loss = hand.objective.step(hand.model, hand.batch, hand.descend).item()
    hand.objective.remember = remember
    return loss, turns


def test_mla_gives_each_modality_a_turn_with_what_is_left_of_the_shared_step():
    loss, turns = taken(mla(params={"alpha": 0.5}))
    memory = 0.5 * torch.eye(64, dtype=F64)
    for modality, mean_read, _, slopes, steps in turns:
        assert learning(slopes) == {modality}
        # the recursion in closed form: P = α (α I + Σ r rᵀ)⁻¹ over all that was read before
        free = 0.5 * torch.linalg.inv(memory)
        for name, step in steps.items():
            slope = slopes.get(name, torch.zeros_like(step))
            shared = name.endswith("linear.weight")
            torch.testing.assert_close(step, slope @ free if shared else slope)
        memory = memory + torch.outer(mean_read, mean_read)
    assert [modality for modality, *_ in turns] == list(LEARNERS)
    assert loss == pytest.approx(sum(own for _, _, own, _, _ in turns))
    assert any(name.endswith("linear.weight") for name in turns[1][3])


@pytest.mark.parametrize("kind", ["descent", "AdamW"])
def test_mla_leaves_what_is_said_of_the_last_modality_if_alpha_is_small(kind):
    hand = mla(params={"alpha": 0.01})
    hand.objective.alpha = 1e-9
    if kind == "AdamW":  # which goes on along older gradients, and as far for small ones
        optimizer = AdamW(hand.model.parameters(), weight_decay=0.1)
        hand.descend = lambda: (optimizer.step(0.01), optimizer.zero_grad())
    for _ in range(3):
        hand.objective.begin_epoch(0, hand.model, hand.course)
        _, turns = taken(hand)
    (_, mean_read, _, _, first), (_, _, _, _, second) = turns
    (name,) = (n for n in second if n.endswith("linear.weight"))
    assert (second[name] @ mean_read).abs().max() < 1e-6 * second[name].norm()
    assert (first[name] @ mean_read).abs().max() > 1e-3 * first[name].norm()


def test_mla_remembers_through_an_epoch_and_no_longer():
    hand = mla()
    hand.turns()
    remembered = hand.objective.free.clone()
    assert not torch.allclose(remembered, torch.eye(64, dtype=F64))
    hand.turns()
    assert hand.objective.free.trace() < remembered.trace()
    hand.objective.begin_epoch(1, hand.model, hand.course)
    assert torch.equal(hand.objective.free, torch.eye(64, dtype=F64))


def test_mla_heads_are_one_head():
    model = mla().model
    (_, one), (_, other) = (model.unimodal_heads[m] for m in LEARNERS)
    assert one is other


# --- ReconBoost


def slow_boosted(outputs, target, modality, last, reconcile, agreement):
    """L_m, one number at a time."""
    features, said = outputs.features, {m: s.tolist() for m, s in outputs.unimodal.items()}
    costs, apart = [], []
    for i in having(features, modality):
        own, y = softmax(said[modality][i]), target[i].item()
        others = [said[m][i] for m in said if m != modality and features[m].present[i]]
        known = softmax([sum(s) for s in zip([0.0] * 3, *others, strict=True)])[y]
        costs.append(-(1 - reconcile * known) * math.log(own[y]))
        if features[last].present[i]:
            pairs = zip(own, softmax(said[last][i]), strict=True)
            apart.append(mean((p - q) ** 2 for p, q in pairs))
    return mean(costs) + agreement * mean(apart)


def test_reconboost_boosts_one_learner_then_all_and_passes_the_turn():
    hand = Hand(ReconBoostObjective, params={"reconcile": 0.7, "agreement": 0.4}, missing=0.3)
    hand.objective.begin(hand.model, hand.course)
    outputs = outputs_of(hand)
    together = supervised_loss("classification", outputs.scores, hand.batch.target).mean().item()
    for modality, last in (("a", "b"), ("b", "a"), ("a", "b")):
        loss, turns = hand.turns()
        assert [learning(gradients) for gradients in turns] == [{modality}, {"a", "b"}]
        alone = slow_boosted(outputs, hand.batch.target, modality, last, 0.7, 0.4)
        assert loss == pytest.approx(alone + together)


def test_reconboost_gradient_is_that_of_its_own_loss_and_then_the_plain_one():
    hand = Hand(ReconBoostObjective, params={"reconcile": 0.7, "agreement": 0.4}, missing=0.3)
    _, (alone, together) = hand.turns()
    weight = hand.model.unimodal_heads["a"].linear.weight
    step = torch.zeros_like(weight)
    step[1, 2] = 1e-6
    losses = []
    before = outputs_of(hand)
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * step
            now = outputs_of(hand)
            weight -= sign * step
        # b's word is that of before: it gets no gradient, nor has it changed
        assert torch.equal(now.unimodal["b"], before.unimodal["b"])
        losses.append(slow_boosted(now, hand.batch.target, "a", "b", 0.7, 0.4))
    slope = alone["unimodal_heads.a.linear.weight"][1, 2].item()
    assert slope == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-5)
    loss = supervised_loss("classification", outputs_of(hand).scores, hand.batch.target).mean()
    (expected,) = torch.autograd.grad(loss, [weight])
    torch.testing.assert_close(together["unimodal_heads.a.linear.weight"], expected)


def test_reconboost_sums_what_learners_say():
    outputs = outputs_of(Hand(ReconBoostObjective, missing=0.3))
    for i, row in enumerate(outputs.scores):
        there = [m for m in LEARNERS if outputs.features[m].present[i]]
        torch.testing.assert_close(row, sum(outputs.unimodal[m][i] for m in there))


# --- Self-MM


def scaled_truth(kind, target):
    """y as Self-MM has it, one output a column, and how to say it in the target's units again."""
    if kind == "regression":
        centre, unit = target.mean(0), (target - target.mean(0)).square().mean(0).sqrt()
        return (target - centre) / unit, lambda y: y * unit + centre
    labels = torch.nn.functional.one_hot(target, 3) if kind == "classification" else target
    return 2.0 * labels.double() - 1, None


def slow_nearness(vectors, labels, rows, i, o):
    sides = {True: [], False: []}
    for j in rows:
        sides[labels[j][o].item() >= 0].append(vectors[j])
    near, far = ((vectors[i] - mean(sides[s])).norm().item() for s in (True, False))
    return (far - near) / near


def slow_label(truth, own, fused, furthest):
    label = 0.5 * own / fused * truth + 0.5 * (truth + own - fused)
    return min(max(label, -furthest), furthest)


def renew(labels, old, truth, outputs, modality, epoch):
    everyone, rows = range(len(truth)), having(outputs.features, modality)
    pooled, n = outputs.features[modality].pooled, epoch + 1
    for i in rows[:8]:  # some rows are enough, and each looks at all
        for o in range(3):
            own = slow_nearness(pooled, old, rows, i, o)
            fused = slow_nearness(outputs.fused, truth, everyone, i, o)
            new = slow_label(truth[i][o].item(), own, fused, truth[:, o].abs().max().item())
            labels[i, o] = (n - 1) / (n + 1) * old[i][o] + 2 / (n + 1) * new


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
def test_self_mm_generates_labels_from_distances_to_two_centres(kind):
    hand = Hand(SelfMMObjective, kind, missing=0.3)
    hand.model.eval()
    hand.objective.begin(hand.model, hand.course)
    train = hand.course.train
    outputs = hand.model.respond(hand.model.encode(train))
    truth, _ = scaled_truth(kind, train.target)
    torch.testing.assert_close(hand.objective.truth, truth)
    for epoch in (1, 2):
        before = hand.objective.labels.clone()
        hand.objective.begin_epoch(epoch, hand.model, hand.course)
        for k, m in enumerate(LEARNERS):
            expected = before[k].clone()
            renew(expected, before[k], truth, outputs, m, epoch)
            rows = having(outputs.features, m)[:8]
            torch.testing.assert_close(hand.objective.labels[k][rows], expected[rows])
            gone = ~outputs.features[m].present
            torch.testing.assert_close(hand.objective.labels[k][gone], truth[gone])


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
def test_self_mm_weighs_generated_labels_by_how_far_they_are_from_the_truth(kind):
    hand = Hand(SelfMMObjective, kind, missing=0.3)
    hand.objective.begin(hand.model, hand.course)
    truth, in_units = scaled_truth(kind, hand.course.train.target)
    torch.manual_seed(0)
    labels = (truth + torch.randn(2, *truth.shape, dtype=F64)).clamp(-1, 1)
    hand.objective.labels, hand.objective.epoch = labels, 3
    outputs = outputs_of(hand)
    expected = supervised_loss(kind, outputs.scores, hand.batch.target).mean().item()
    for k, m in enumerate(LEARNERS):
        costs = []
        for i in having(outputs.features, m):
            apart = [
                abs(y - t) for y, t in zip(labels[k, i].tolist(), truth[i].tolist(), strict=False)
            ]
            own = in_units(labels[k, i]) if in_units else (labels[k, i] + 1) / 2
            cost = slow_cost(kind, outputs.unimodal[m][i].tolist(), own.tolist())
            costs.append(math.tanh(mean(apart)) * cost)
        expected += mean(costs)
    assert hand.objective.loss(hand.model, hand.batch).item() == pytest.approx(expected)


def slow_cost(kind, scores, label):
    """A row's loss for a label that need not be sure."""
    if kind == "regression":
        return mean((s - y) ** 2 for s, y in zip(scores, label, strict=True))
    if kind == "multilabel":
        chances = [1 / (1 + math.exp(-s)) for s in scores]
        pairs = list(zip(chances, label, strict=True))
        return mean(-y * math.log(p) - (1 - y) * math.log(1 - p) for p, y in pairs)
    shares = [y / max(sum(label), 1e-8) for y in label]
    return -sum(y * math.log(p) for p, y in zip(softmax(scores), shares, strict=True))


def test_self_mm_begins_with_the_target_as_every_modalitys_label():
    hand = Hand(SelfMMObjective, "regression")
    hand.objective.begin(hand.model, hand.course)
    hand.objective.begin_epoch(0, hand.model, hand.course)
    outputs = outputs_of(hand)
    heads = [outputs.scores, *outputs.unimodal.values()]
    expected = sum(supervised_loss("regression", s, hand.batch.target).mean() for s in heads)
    torch.testing.assert_close(hand.objective.loss(hand.model, hand.batch), expected)
