"""Paradigms about imbalance, missing modalities and stages compute what they say."""

import math

import pytest
import torch
from torch.nn import functional as F

from mmbench.contracts import Outputs
from mmbench.objectives._evaluating import evaluating
from mmbench.objectives.balanced_softmax import BalancedSoftmaxObjective
from mmbench.objectives.cml import CMLObjective
from mmbench.objectives.focal import FocalObjective
from mmbench.objectives.fusion_then_train import FusionThenTrainObjective
from mmbench.objectives.modality_dropout import ModalityDropoutObjective
from mmbench.objectives.multi_task import MultiTaskObjective
from mmbench.objectives.resampling import ResamplingObjective
from mmbench.objectives.umt import UMTObjective, encode
from mmbench.objectives.weighted import WeightedObjective
from mmbench.testing.practice import Practice
from mmbench.types import Encoded, Task

DIMS = {"a": 2, "b": 2}
LABELS = torch.tensor([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]])
CLASSES = torch.tensor([2, 0, 1, 1])


def task(kind="classification") -> Task:
    return Task(dict.fromkeys(DIMS, "tabular"), kind, ("x", "y", "z"), "accuracy")


def outputs(**given) -> Outputs:
    torch.manual_seed(0)
    scores = torch.randn(4, 3, dtype=torch.float64)
    return Outputs(scores, torch.randn(4, 4, dtype=torch.float64), **given)


class Data:
    """What an objective sees of the training part."""

    def __init__(self, target) -> None:
        self.train = self
        self.target = target

    def __len__(self) -> int:
        return len(self.target)


def test_weighted_is_the_effective_number_of_samples():
    seen = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    objective = WeightedObjective(task(), DIMS, 4, beta=0.99)
    objective.begin(None, Data(seen))
    raw = [(1 - 0.99) / (1 - 0.99**n) for n in (60, 30, 10)]
    scale = 100 / sum(w * n for w, n in zip(raw, (60, 30, 10), strict=True))
    out = outputs()
    losses = F.cross_entropy(out.scores, CLASSES, reduction="none")
    expected = sum(raw[c] * scale * loss for c, loss in zip(CLASSES, losses, strict=True)) / 4
    assert objective(out, CLASSES).item() == pytest.approx(expected.item(), rel=1e-5)
    assert objective.weights[seen].mean().item() == pytest.approx(1, rel=1e-5)


def test_weighted_weighs_both_sides_of_every_label():
    seen = torch.zeros(100, 3, dtype=torch.long)
    seen[:10, 0], seen[:50, 1], seen[:, 2] = 1, 1, 1
    objective = WeightedObjective(task("multilabel"), DIMS, 4, beta=0.99)
    objective.begin(None, Data(seen))
    negative, positive = objective.weights
    assert positive[0] > 3 * negative[0], "a rare label's presence counts more than its absence"
    assert positive[1].item() == pytest.approx(negative[1].item())
    assert negative[2] == 0 and positive[2].item() == pytest.approx(1), "no row, no weight"


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_is_its_formula(gamma):
    out = outputs()
    p = out.scores.softmax(-1)[range(4), CLASSES]
    expected = sum(-((1 - x) ** gamma) * math.log(x) for x in p.tolist()) / 4
    assert FocalObjective(task(), DIMS, 4, gamma=gamma)(out, CLASSES).item() == pytest.approx(
        expected
    )
    sides = torch.where(LABELS.bool(), out.scores.sigmoid(), 1 - out.scores.sigmoid()).flatten()
    expected = sum(-((1 - x) ** gamma) * math.log(x) for x in sides.tolist()) / 12
    focal = FocalObjective(task("multilabel"), DIMS, 4, gamma=gamma)
    assert focal(out, LABELS).item() == pytest.approx(expected)


def test_balanced_softmax_puts_the_prior_into_training_only():
    seen = torch.tensor([0] * 70 + [1] * 30)
    objective = BalancedSoftmaxObjective(task(), DIMS, 4)
    objective.begin(None, Data(seen))
    out, prior = outputs(), [70, 30, 0.5]
    expected = 0.0
    for row, c in zip(out.scores.tolist(), CLASSES.tolist(), strict=True):
        shares = [n / sum(prior) * math.exp(s) for n, s in zip(prior, row, strict=True)]
        expected -= math.log(shares[c] / sum(shares)) / 4
    assert objective(out, CLASSES).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("power", "share"), [(0.0, 0.9), (0.5, 0.75), (1.0, 0.5)])
def test_resampling_moves_class_shares_as_its_power_says(power, share):
    seen = torch.tensor([0] * 9000 + [1] * 1000)
    objective = ResamplingObjective(task(), DIMS, 4, power=power)
    objective.begin(None, Data(seen))
    order = torch.randperm(10_000, generator=torch.Generator().manual_seed(1))
    rows = objective.rows(order, torch.Generator().manual_seed(2))
    assert len(rows) == 10_000
    assert (seen[rows] == 0).float().mean().item() == pytest.approx(share, abs=0.02)
    places = torch.empty(10_000, dtype=torch.long).scatter_(0, order, torch.arange(10_000))
    assert (places[rows].diff() >= 0).all(), "drawn rows keep the order of the epoch"


def test_resampling_goes_by_the_rarest_positive_label():
    seen = torch.tensor([[1, 0, 0]] * 90 + [[1, 1, 0]] * 10)
    objective = ResamplingObjective(task("multilabel"), DIMS, 4, power=1.0)
    objective.begin(None, Data(seen))
    assert objective.chances[-1].item() == pytest.approx(objective.chances[0].item() * 10)


def test_modality_dropout_drops_its_share_and_never_everything():
    torch.manual_seed(0)
    objective = ModalityDropoutObjective(task(), DIMS, 4, p=0.3)
    present = {"a": torch.ones(20_000, dtype=torch.bool), "b": torch.rand(20_000) < 0.5}
    features = {m: Encoded.vector(torch.ones(20_000, 2), here) for m, here in present.items()}
    dropped = objective.dropped(features)
    left = torch.stack(list(present.values()), dim=1) & ~dropped
    assert left.any(dim=1).all() and not (dropped[:, 1] & ~present["b"]).any()
    both = present["b"]
    # of two, each goes with probability p, unless both would: then none does
    assert dropped[both, 0].float().mean().item() == pytest.approx(0.3 * 0.7, abs=0.015)
    assert not dropped[~both].any(), "the only modality stays"


def test_modality_dropout_is_the_loss_of_the_model_without_what_was_dropped(monkeypatch):
    started = Practice(ModalityDropoutObjective, "classification").start()
    objective, model, batch = started.trainer.objective, started.model, started.train
    gone = torch.zeros(len(batch), 2, dtype=torch.bool)
    gone[::2, 1] = True
    monkeypatch.setattr(objective, "dropped", lambda _: gone)
    features = dict(model.encode(batch))
    b = features["b"]
    features["b"] = Encoded(b.tokens, b.mask & ~gone[:, 1:], b.pooled * ~gone[:, 1:])
    expected = F.cross_entropy(model.respond(features).scores, batch.target)
    assert objective.loss(model, batch).item() == pytest.approx(expected.item())


def test_multi_task_weighs_each_prediction_by_its_noise():
    objective = MultiTaskObjective(task(), DIMS, 4)
    with torch.no_grad():
        objective.log_variances.copy_(torch.tensor([0.5, -1.0, 2.0]))
    features = {m: Encoded.vector(torch.zeros(4, 2)) for m in DIMS}
    out = outputs(unimodal={"a": torch.ones(4, 3).double(), "b": torch.eye(4, 3).double()},
                  features=features)  # fmt: skip
    losses = [F.cross_entropy(s, CLASSES).item() for s in (out.scores, *out.unimodal.values())]
    expected = sum(
        math.exp(-s) * loss + s / 2 for s, loss in zip((0.5, -1.0, 2.0), losses, strict=True)
    )
    assert objective(out, CLASSES).item() == pytest.approx(expected, rel=1e-6)


def test_umt_teachers_are_trained_then_fixed_and_students_pay_for_the_distance():
    started = Practice(UMTObjective, "classification", {"weight": 2.0}, missing=0.3).start()
    objective, model = started.trainer.objective, started.model
    fresh = {
        m: e.state_dict()["net.0.weight"].clone() for m, e in model.encoders_by_modality.items()
    }
    objective.begin(model, started.course)
    taught = {m: t.state_dict()["net.0.weight"].clone() for m, t in objective.teachers.items()}
    for modality, encoder in model.encoders_by_modality.items():
        assert torch.equal(encoder.state_dict()["net.0.weight"], fresh[modality]), "not the student"
        assert not torch.equal(taught[modality], fresh[modality]), "the teacher has learnt"
    batch = started.train.rows(torch.arange(16))
    out = model.respond(model.encode(batch))
    expected = F.cross_entropy(out.scores, batch.target)
    for modality, teacher in objective.teachers.items():
        student, teaching = out.features[modality], encode(teacher, batch.columns[modality])
        rows = [i for i in range(16) if student.present[i]]
        distances = [(student.pooled[i] - teaching.pooled[i]).square().mean() for i in rows]
        expected = expected + 2.0 * sum(distances) / len(rows)
    assert objective.loss(model, batch).item() == pytest.approx(expected.item(), rel=1e-5)
    started.trainer.fit(model, started.train, started.val, None, lambda *_: None)
    assert not any(p.requires_grad for p in objective.teachers.parameters())


def test_cml_charges_for_being_surer_with_less():
    started = Practice(CMLObjective, "classification", {"weight": 3.0}, missing=0.4).start()
    objective, model, batch = started.trainer.objective, started.model, started.train
    features = model.encode(batch)
    full = model.respond(features)
    expected = F.cross_entropy(full.scores, batch.target).item()
    for gone, kept in (("a", "b"), ("b", "a")):
        nothing = Encoded(
            features[gone].tokens,
            torch.zeros_like(features[gone].mask),
            torch.zeros_like(features[gone].pooled),
        )
        less = model.respond({**features, gone: nothing})
        sure, sure_of_less = (F.softmax(said.scores, 1).max(1).values for said in (full, less))
        excess = [
            max(0.0, (sure_of_less[i] - sure[i]).item())
            for i in range(len(batch))
            if features[gone].present[i] and features[kept].present[i]
        ]
        expected += 3.0 * sum(excess) / len(excess)
    assert objective.loss(model, batch).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_a_model_is_looked_at_as_it_will_be_used_and_then_goes_on(training):
    model = torch.nn.Dropout().train(training)
    with pytest.raises(ZeroDivisionError), evaluating(model):
        assert not model.training
        raise ZeroDivisionError
    assert model.training is training


def test_fusion_then_train_freezes_all_but_a_new_head():
    started = Practice(FusionThenTrainObjective, "classification").start()
    model, objective = started.model, started.trainer.objective
    before = {k: v.clone() for k, v in model.state_dict().items()}
    objective.begin(model, started.course)
    between = {k: v.clone() for k, v in model.state_dict().items()}
    assert all(torch.equal(between[k], before[k]) for k in before if k.startswith("head")), "anew"
    assert not torch.equal(between["encoders.a.net.0.weight"], before["encoders.a.net.0.weight"])
    training = [name for name, p in model.named_parameters() if p.requires_grad]
    assert training and all(name.startswith("head") for name in training)
