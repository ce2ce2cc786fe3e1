"""The plain and the joint loss compute their formula."""

import math

import pytest
import torch

from mmbench.contracts import Outputs
from mmbench.errors import InvalidParameter
from mmbench.objectives.joint import JointObjective
from mmbench.objectives.plain import PlainObjective
from mmbench.types import Encoded, Task

MODALITIES = ("image", "question")
DIMS = dict.fromkeys(MODALITIES, 2)


def task(kind):
    return Task(dict.fromkeys(MODALITIES, "tabular"), kind, ("x", "y", "z"), "accuracy")


def example(kind):
    torch.manual_seed(0)
    scores = {m: torch.randn(4, 3, dtype=torch.float64) for m in ("fused", *MODALITIES)}
    present = {"image": [True, False, True, True], "question": [False] * 4}
    features = {
        m: Encoded.vector(torch.randn(4, 2), torch.tensor(here)) for m, here in present.items()
    }
    target = {
        "classification": torch.tensor([2, 0, 1, 1]),
        "multilabel": torch.tensor([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]]),
        "regression": torch.randn(4, 3, dtype=torch.float64),
    }[kind]
    unimodal = {m: scores[m] for m in MODALITIES}
    return Outputs(scores["fused"], torch.randn(4, 2), unimodal, features), target, present


def loss_of_row(kind, scores, target):
    """One sample's loss, one number at a time."""
    if kind == "classification":
        return math.log(sum(math.exp(s) for s in scores)) - scores[target]
    if kind == "multilabel":
        likelihood = [
            1 / (1 + math.exp(-s if y else s)) for s, y in zip(scores, target, strict=True)
        ]
        return -sum(math.log(p) for p in likelihood) / len(scores)
    return sum((s - y) ** 2 for s, y in zip(scores, target, strict=True)) / len(scores)


def mean_loss(kind, scores, target, rows):
    losses = [loss_of_row(kind, scores[i].tolist(), target[i].tolist()) for i in rows]
    return sum(losses) / max(len(losses), 1)


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
def test_plain_is_the_mean_loss_of_the_fused_scores(kind):
    outputs, target, _ = example(kind)
    got = PlainObjective(task(kind), DIMS, 2)(outputs, target)
    assert got.item() == pytest.approx(mean_loss(kind, outputs.scores, target, range(4)))


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
def test_joint_adds_each_modalitys_loss_over_the_rows_that_have_it(kind):
    outputs, target, present = example(kind)
    got = JointObjective(task(kind), DIMS, 2, weights="image=0.3", weight=0.7)(outputs, target)
    expected = mean_loss(kind, outputs.scores, target, range(4))
    for modality, weight in (("image", 0.3), ("question", 0.7)):
        rows = [i for i in range(4) if present[modality][i]]
        expected += weight * mean_loss(kind, outputs.unimodal[modality], target, rows)
    assert got.item() == pytest.approx(expected)


def test_joint_without_features_takes_every_row():
    outputs, target, _ = example("regression")
    bare = Outputs(outputs.scores, outputs.fused, outputs.unimodal)
    got = JointObjective(task("regression"), DIMS, 2, weight=0.5)(bare, target)
    parts = (outputs.scores, *(outputs.unimodal[m] for m in MODALITIES))
    fused, image, question = (mean_loss("regression", s, target, range(4)) for s in parts)
    assert got.item() == pytest.approx(fused + 0.5 * image + 0.5 * question)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("imgae=0.3", r"'imgae'.*Did you mean 'image'.*There is: image, question"),
        ("image=much", r"'image=much'.*modality=number"),
        ("image", r"'image'.*modality=number"),
        ("image=-1", r"'image=-1'.*0 or more"),
        ("image=inf", r"'image=inf'.*0 or more"),
        ("image=1,image=2", "'image' twice"),
    ],
)
def test_joint_says_what_is_wrong_with_its_weights(weights, message):
    with pytest.raises(InvalidParameter, match=message):
        JointObjective(task("regression"), DIMS, 2, weights=weights)


def test_joint_reads_spaces_and_keeps_its_weight_for_the_others():
    objective = JointObjective(task("regression"), DIMS, 2, weights=" question = 2 , ", weight=0.1)
    assert objective.weights == {"image": 0.1, "question": 2.0}
