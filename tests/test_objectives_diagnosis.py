"""Paradigms that look at what a model has learnt and act on it do what they say."""

import math
from collections import Counter
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from by_hand import Hand

from mmbench.losses import supervised_loss
from mmbench.objectives.diagnose_relearn import (
    DiagnoseRelearnObjective,
    majority_share,
    purity,
)
from mmbench.objectives.modality_valuation import ModalityValuationObjective
from mmbench.testing.training import training_takes_what_tasks_bring
from mmbench.types import Encoded

F64 = torch.float64
LEARNERS = ("a", "b")


# --- Diagnose and re-learn


def test_purity_counts_the_most_frequent_class_of_each_cluster():
    draws = np.random.default_rng(0)
    clusters, classes = draws.integers(0, 4, 60), draws.integers(0, 3, 60)
    right = sum(
        max(Counter(y for c, y in zip(clusters, classes, strict=True) if c == k).values())
        for k in set(clusters)
    )
    assert majority_share(clusters, classes) == pytest.approx(right / 60)


def test_purity_finds_classes_that_lie_apart_and_no_others():
    draws = np.random.default_rng(0)
    classes = np.arange(90) % 3
    # the units differ in scale, and the classes only in the small one
    apart = np.stack([classes * 0.01 + 1e-4 * draws.normal(size=90), 5 + np.zeros(90)], axis=1)
    assert purity(apart, classes, 3) == 1
    assert purity(draws.normal(size=(90, 2)), classes, 3) < 0.6


def test_an_encoder_goes_back_by_the_gap_between_its_purities():
    hand = Hand(DiagnoseRelearnObjective, params={"strength": 2.0, "every": 2, "times": 1})
    val = hand.course.val
    hand.course.val = replace(val, target=val.target.roll(1))  # nothing of it can be known
    hand.objective.begin(hand.model, hand.course)
    first = {n: p.detach().clone() for n, p in hand.model.named_parameters()}
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in hand.model.parameters():
            parameter += torch.randn_like(parameter)
    learnt = {n: p.detach().clone() for n, p in hand.model.named_parameters()}
    looked = hand.objective.look(hand.model, hand.course, hand.course.train)
    unseen = hand.objective.look(hand.model, hand.course, hand.course.val)
    for epoch in (0, 1, 3, 4):  # too early, not due, not due, often enough
        hand.objective.begin_epoch(epoch, hand.model, hand.course)
    assert all(torch.equal(p, learnt[n]) for n, p in hand.model.named_parameters())
    hand.objective.begin_epoch(2, hand.model, hand.course)
    shares = {
        m: math.tanh(2 * abs(purity(*looked[m], 3) - purity(*unseen[m], 3))) for m in LEARNERS
    }
    assert min(shares.values()) > 0.1
    for name, parameter in hand.model.named_parameters():
        part, modality = name.split(".")[:2]
        share = shares[modality] if part == "encoders" else 0.0
        expected = (1 - share) * learnt[name] + share * first[name]
        torch.testing.assert_close(parameter, expected)


def test_rows_that_are_all_the_same_are_as_pure_as_their_classes():
    assert purity(np.ones((10, 2)), np.array([0] * 7 + [1] * 3), 3) == pytest.approx(0.7)


def test_diagnosis_takes_what_tasks_bring():
    """The contract's trainings are too short for the default."""
    training_takes_what_tasks_bring(DiagnoseRelearnObjective, every=1)


def test_only_rows_that_have_the_modality_are_diagnosed():
    hand = Hand(DiagnoseRelearnObjective, missing=0.5)
    features = hand.model.encode(hand.course.train)["b"]
    vectors, classes = hand.objective.look(hand.model, hand.course, hand.course.train)["b"]
    assert len(vectors) == len(classes) == features.present.sum() < len(hand.course.train)
    assert np.array_equal(classes, hand.course.train.target[features.present].numpy())


def test_frozen_encoders_are_left_alone():
    hand = Hand(DiagnoseRelearnObjective, encoder="vector", params={"every": 1})
    hand.objective.begin(hand.model, hand.course)
    before = {n: t.clone() for n, t in hand.model.state_dict().items()}
    hand.objective.begin_epoch(1, hand.model, hand.course)
    assert all(torch.equal(t, before[n]) for n, t in hand.model.state_dict().items())


# --- Modality valuation


def slow_copies(right, there):
    """n of each modality of one row: the mean over all orders of what it adds, then the rule."""
    if sum(there.values()) < 2:
        return dict.fromkeys(there, 0)

    def worth(subset):
        return sum(there[m] for m in subset) if subset and right[frozenset(subset)] else 0

    copies = {}
    orders = list(permutations(there))
    for m in there:
        gains = [worth(o[: o.index(m) + 1]) - worth(o[: o.index(m)]) for o in orders]
        value = sum(gains) / len(gains)
        copies[m] = max(0, round(2 * (1 - value))) if there[m] else 0
    return copies


def alone(features, kept):
    """The features without all modalities but those kept."""
    return {
        m: Encoded(e.tokens, e.mask & (m in kept), e.pooled * (m in kept))
        for m, e in features.items()
    }


def valued():
    """A model with mistakes, of all kinds of rows."""
    hand = Hand(ModalityValuationObjective, missing=0.3)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in hand.model.head.parameters():
            parameter += 0.5 * torch.randn_like(parameter)
    hand.model.eval()
    hand.objective.begin_epoch(1, hand.model, hand.course)
    return hand


def test_rows_are_repeated_with_what_adds_little_alone():
    hand = valued()
    train = hand.course.train
    features = hand.model.encode(train)
    subsets = [frozenset("a"), frozenset("b"), frozenset("ab")]
    said = {s: hand.model.respond(alone(features, s)).scores.argmax(-1) for s in subsets}
    seen = set()
    for i, y in enumerate(train.target.tolist()):
        right = {s: said[s][i].item() == y for s in subsets}
        there = {m: features[m].present[i].item() for m in LEARNERS}
        copies = slow_copies(right, there)
        assert hand.objective.copies[:, i].tolist() == [copies[m] for m in LEARNERS]
        seen |= set(copies.values())
    assert seen >= {0, 1, 2}


def test_the_loss_is_the_mean_over_rows_and_their_copies():
    hand = valued()
    features, copies = hand.model.encode(hand.batch), hand.objective.copies[:, :32]
    shown = [
        supervised_loss("classification", hand.model.respond(f).scores, hand.batch.target).tolist()
        for f in (features, alone(features, "a"), alone(features, "b"))
    ]
    everything = list(shown[0])
    for k in (0, 1):
        for i in range(32):
            everything += [shown[1 + k][i]] * int(copies[k, i])
    assert len(everything) > 32
    expected = sum(everything) / len(everything)
    assert hand.objective.loss(hand.model, hand.batch).item() == pytest.approx(expected)


def test_valuation_waits_for_its_warmup():
    hand = Hand(ModalityValuationObjective, params={"warmup": 2})
    hand.objective.begin_epoch(1, hand.model, hand.course)
    scores = hand.model.respond(hand.model.encode(hand.batch)).scores
    expected = supervised_loss("classification", scores, hand.batch.target).mean()
    torch.testing.assert_close(hand.objective.loss(hand.model, hand.batch), expected)
