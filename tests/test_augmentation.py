"""Values changed at random in training: by their formulas, where in effect, alone and K at once."""

import copy
from dataclasses import replace

import pytest
import torch
from torch.distributions import Beta
from torch.nn import functional as F

from mmbench.augmentation import BY_KIND, augmentations, offered
from mmbench.augmentation.images import Mirror, Shift
from mmbench.augmentation.noise import GaussianNoise
from mmbench.augmentation.sounds import Speed, TimeShift
from mmbench.augmentation.words import WordDropout
from mmbench.encoders._words import PADDING, UNKNOWN
from mmbench.errors import Incompatible
from mmbench.features import prepare
from mmbench.model import build_encoders, build_model
from mmbench.objectives.mixup import MixupObjective
from mmbench.plugins import load_plugins
from mmbench.resolve import resolve
from mmbench.search.candidates import find_candidates
from mmbench.search.propose import propose
from mmbench.search.request import SearchRequest
from mmbench.spec import Component, TrainSpec, TrialSpec, spec_from_json
from mmbench.testing import promises
from mmbench.testing.practice import Practice
from mmbench.testing.subject import Subject
from mmbench.together import Wanted, train_together
from mmbench.trial import Workbench, train_trial
from mmbench.types import Column, Split, Task

C, PLUGINS = Component, load_plugins()
NAN = float("nan")


def rand(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


VALUES = {
    "shift": (Shift(0.3), rand(5, 2, 8, 6)),
    "mirror": (Mirror(0.5), (255 * rand(5, 2, 3, 4, 6)).to(torch.uint8)),
    "time": (TimeShift(0.4), rand(5, 40)),
    "time of whole numbers": (TimeShift(0.4), (99 * rand(5, 40)).short()),
    "speed": (Speed(0.2), rand(5, 40)),
    "speed of whole numbers": (Speed(0.2), (99 * rand(5, 40)).short()),
    "words": (WordDropout(0.3, UNKNOWN), (9 * rand(5, 20)).long()),
    "noise": (GaussianNoise(0.1, [1.0, 0.0, 5.0]), rand(5, 7, 3)),
}


@pytest.mark.parametrize("name", VALUES)
def test_changes_in_training_alone_and_never_what_it_is_given(name):
    module, values = VALUES[name]
    before = values.clone()
    torch.manual_seed(0)
    changed = module.train()(values)
    assert torch.equal(values, before) and not torch.equal(changed, values)
    assert changed.shape == values.shape and changed.dtype == values.dtype
    torch.manual_seed(0)
    assert torch.equal(module(values), changed)
    assert module.eval()(values) is values
    assert module.train()(values[:0]).shape == values[:0].shape


@pytest.mark.parametrize("name", VALUES)
def test_members_draw_together_what_each_draws_alone(name):
    module, values = VALUES[name]
    build = lambda: copy.deepcopy(module)
    call = lambda augment, inputs: (augment(inputs["values"]).double(),)
    promises.members_train_together_under_vmap(Subject(name, build, {"values": values}, call))


def test_a_shift_is_its_formula():
    images = rand(4, 3, 10, 8)
    torch.manual_seed(3)
    moved = Shift(0.2).train()(images)
    torch.manual_seed(3)
    draws = [torch.rand(4, 1).flatten().tolist() for _ in range(2)]
    for image, result, down, across in zip(images, moved, *draws, strict=True):
        dy, dx = round((2 * down - 1) * 0.2 * 10), round((2 * across - 1) * 0.2 * 8)
        for i in range(10):
            for j in range(8):
                row, column = min(max(i + dy, 0), 9), min(max(j + dx, 0), 7)
                assert torch.equal(result[:, i, j], image[:, row, column])


def test_a_sound_goes_round_within_its_length():
    clips = torch.arange(10.0).repeat(50, 1)
    clips[:25, 7:] = NAN
    moved = TimeShift(0.3).train()(clips)
    for clip, result, n in zip(clips, moved, [7] * 25 + [10] * 25, strict=True):
        offset = int(result[0])
        assert torch.equal(result[:n], clip[:n].roll(-offset)) and result[n:].isnan().all()
        assert min(offset, n - offset) <= 0.3 * n
    assert {int(first) for first in moved[25:, 0]} == {7, 8, 9, 0, 1, 2, 3}


def test_speed_is_its_formula():
    clips = rand(3, 30)
    clips[:, 25:] = NAN
    torch.manual_seed(3)
    played = Speed(0.2).train()(clips)
    torch.manual_seed(3)
    speeds = (1 + (2 * torch.rand(3, 1) - 1) * 0.2).flatten().tolist()
    for clip, result, speed in zip(clips.tolist(), played.tolist(), speeds, strict=True):
        for i, sample in enumerate(result[:25]):
            whole, part = divmod(i * speed, 1)
            one, other = clip[int(whole) % 25], clip[(int(whole) + 1) % 25]
            assert sample == pytest.approx((1 - part) * one + part * other, abs=1e-4)
    assert played[:, 25:].isnan().all()


def test_noise_on_a_sound_is_as_loud_as_the_training_clips():
    clips = (1000 * torch.randn(300, 400)).short()
    column = Column(clips, None)
    encoder = PLUGINS.encoders["mel-cnn"](PLUGINS.encoders["mel-cnn"].fit(column))
    split = Split({"sound": column}, torch.zeros(300).long())
    made = augmentations(TrainSpec(noise=0.2), task(), {"sound": encoder}, split)
    noisy = made["sound"].train()(clips)
    assert (noisy - clips).std().item() == pytest.approx(200, rel=0.05)


def test_a_video_is_mirrored_as_a_whole():
    videos = rand(200, 2, 1, 2, 3)
    mirrored = Mirror(0.5).train()(videos)
    is_flipped = (mirrored == videos.flip(-1)).flatten(1).all(1)
    is_kept = (mirrored == videos).flatten(1).all(1)
    assert (is_flipped ^ is_kept).all() and 60 < is_flipped.sum() < 140


def test_dropped_words_are_unknown_and_padding_stays():
    ids = torch.tensor([[5, 6, UNKNOWN, PADDING]]).repeat(2000, 1)
    dropped = WordDropout(0.2, UNKNOWN).train()(ids)
    assert (dropped[:, 2:] == ids[:, 2:]).all()
    assert set(dropped[:, :2].unique().tolist()) == {UNKNOWN, 5, 6}
    assert (dropped[:, :2] == UNKNOWN).float().mean().item() == pytest.approx(0.2, abs=0.03)


def test_noise_is_of_each_features_own_size_and_gaps_stay():
    values = torch.zeros(5000, 3)
    values[0] = torch.tensor([NAN, 1.0, 2.0])
    noisy = GaussianNoise(0.2, [1.0, 0.0, 5.0]).train()(values)
    assert noisy[0].isnan().tolist() == [True, False, False]
    assert (noisy - values)[1:].std(0).tolist() == pytest.approx([0.2, 0.0, 1.0], rel=0.05)


# Where it is in effect --------------------------------------------------------------------------


def spec(**train) -> TrialSpec:
    return TrialSpec(
        C("synergy", {"size": 300}),
        {"a": C("mlp"), "b": C("vector")},
        C("concat"),
        C("mlp"),
        train=TrainSpec(max_epochs=2, **train),
    )


def task(**fields) -> Task:
    kinds = {"photo": "image", "title": "text", "table": "tabular", "sound": "audio"}
    return Task(kinds, "classification", ("x", "y"), "accuracy", **fields)


def test_a_task_is_offered_what_fits_its_kinds():
    assert offered(task()) == ("crop", "word_dropout", "noise", "speed")
    assert offered(task(mirrored=("photo",))) == tuple(BY_KIND)
    assert offered(Task({"clip": "video"}, "regression", ("x",), "r2")) == ("crop",)


def test_a_spec_without_has_the_id_it_always_had():
    plain = resolve(spec(), PLUGINS).spec
    assert not BY_KIND.keys() & plain.to_dict()["train"].keys()
    noisy = resolve(spec(noise=0.1), PLUGINS).spec
    assert noisy.id != plain.id
    assert resolve(spec_from_json(noisy.to_json()), PLUGINS).spec == noisy
    frozen = replace(spec(noise=0.1), encoders={"a": C("vector"), "b": C("vector")})
    assert resolve(frozen, PLUGINS).spec.train.noise == 0.0


def test_what_the_task_has_nothing_for_is_refused():
    with pytest.raises(Incompatible, match=r"train\.crop: .*kind image or video or audio"):
        resolve(spec(crop=0.1), PLUGINS)
    with pytest.raises(Incompatible, match=r"train\.flip: .*keep their label"):
        resolve(spec(flip=0.5), PLUGINS)


def test_a_model_reads_changed_values_in_training_alone():
    bench = Workbench(torch.device("cpu"))
    resolved = resolve(spec(noise=0.2), PLUGINS)
    train = bench.load(resolved, "train")
    fitted = {m: cls.fit(train.columns[m]) for m, cls in resolved.encoders.items()}
    encoders = build_encoders(resolved, fitted)
    model = build_model(resolved, encoders)
    found = augmentations(resolved.spec.train, resolved.task, encoders, train)
    assert found.keys() == {"a"}  # b is encoded once
    model.augmentations.update(found)
    batch = prepare(train, encoders).rows(torch.arange(8))
    kept = model.eval()(batch)
    changed = model.train().encode(batch)
    assert not torch.equal(changed["a"].pooled, kept.features["a"].pooled)
    assert torch.equal(changed["b"].pooled, kept.features["b"].pooled)


@pytest.mark.usefixtures("at_once")
def test_augmented_trials_train_together_as_alone():
    bench, ended = Workbench(torch.device("cpu")), {}
    specs = [
        replace(spec(noise=0.2, learning_rate=rate), seed=i) for i, rate in enumerate((1e-2, 1e-3))
    ]
    train_together(
        [Wanted(s, lambda end, s=s: ended.setdefault(s.seed, end)) for s in specs], PLUGINS, bench
    )
    for one in specs:
        alone, plain = (
            train_trial(s, PLUGINS, bench).fitted
            for s in (one, replace(one, train=replace(one.train, noise=0.0)))
        )
        losses = [epoch["train_loss"] for epoch in ended[one.seed].fitted.curve]
        assert losses == pytest.approx([e["train_loss"] for e in alone.curve], rel=1e-3)
        assert losses != pytest.approx([e["train_loss"] for e in plain.curve], rel=1e-3)


class Asked:
    """An Optuna trial that takes the last of every choice and remembers what it was asked."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def suggest_categorical(self, name, choices):
        self.names.append(name)
        return choices[-1]

    def suggest_int(self, name, low, high, *, log=False):
        return high

    def suggest_float(self, name, low, high, *, log=False):
        return high


def test_a_search_proposes_what_the_task_has_a_use_for():
    kinds = Task({"a": "tabular", "b": "tabular"}, "classification", ("0", "1"), "accuracy")
    candidates = find_candidates(kinds, PLUGINS, "cpu", fusions=["concat"], objectives=["plain"])
    asked = Asked()
    found = propose(asked, SearchRequest(C("synergy"), candidates, "cpu"), PLUGINS)
    assert [n for n in asked.names if n.removeprefix("train.") in BY_KIND] == ["train.noise"]
    assert (found.train.noise, found.train.crop) == (0.2, 0.0)


# Mixup ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
def test_mixup_is_the_loss_of_the_mixed_label(kind):
    """By soft targets; of a squared error but for a constant, whose gradient is zero."""
    begun = Practice(MixupObjective, kind, {"alpha": 1.0}, encoder="vector").start()
    model, objective = begun.model.double(), begun.trainer.objective.double()
    batch = begun.train.rows(torch.arange(6))
    batch = replace(
        batch, target=batch.target if kind == "classification" else batch.target.double()
    )
    columns = {
        m: c.each(lambda t: t.double() if t.is_floating_point() else t)
        for m, c in batch.columns.items()
    }
    batch = replace(batch, columns=columns)
    torch.manual_seed(0)
    ours = objective.loss(model, batch)
    torch.manual_seed(0)
    share = objective.shares[(torch.rand(6) * 1024).long()].unsqueeze(1)
    other = torch.rand(6).argsort()
    fused = model(batch).fused
    scores = model.head(share * fused + (1 - share) * fused[other])
    if kind == "classification":
        labels = F.one_hot(batch.target, scores.shape[1]).double()
        expected = F.cross_entropy(scores, share * labels + (1 - share) * labels[other])
    elif kind == "multilabel":
        mixed = share * batch.target + (1 - share) * batch.target[other]
        expected = F.binary_cross_entropy_with_logits(scores, mixed)
    else:
        target = batch.target.reshape(scores.shape)
        mixed = share * target + (1 - share) * target[other]
        constant = share * (1 - share) * (target - target[other]).square()
        expected = ((scores - mixed).square() + constant).mean()
    assert ours.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 2.0])
def test_shares_are_of_a_beta_distribution(alpha):
    shares = MixupObjective(task(), {"a": 2}, 2, alpha=alpha).shares.double()
    expected = Beta(torch.tensor(alpha), torch.tensor(alpha))
    assert shares.mean().item() == pytest.approx(0.5, abs=1e-4)
    assert shares.var().item() == pytest.approx(expected.variance.item(), rel=5e-3)
