"""The laws of DESIGN: what may never happen, whatever is plugged in."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mmbench.batching import epoch_order, groups_of
from mmbench.contracts import Encoder, Fusion
from mmbench.datasets.synthetic import Synergy
from mmbench.errors import TrainingDiverged
from mmbench.features import FeatureCache
from mmbench.plugins import Plugins, load_plugins
from mmbench.spec import Component, TrainSpec, TrialSpec
from mmbench.training import learning_rate
from mmbench.trial import Workbench, run_trial, spread_out, train_trial
from mmbench.types import Column, Encoded, Features, Part, Split


def spec(
    fusion: str = "product", encoder: str = "mlp", task: str = "synergy", **train: object
) -> TrialSpec:
    return TrialSpec(
        Component(task, {"size": 400}),
        {"a": Component(encoder), "b": Component(encoder)},
        Component(fusion),
        Component("linear"),
        train=replace(TrainSpec(max_epochs=2), **train),
        seed=3,
    )


@pytest.fixture
def plugins() -> Plugins:
    """A set of its own, so that a test may add to it."""
    return load_plugins.__wrapped__()


@pytest.fixture
def bench(tmp_path) -> Workbench:
    return Workbench(torch.device("cpu"), FeatureCache(tmp_path / "features"))


def test_search_never_loads_the_test_part(plugins: Plugins, bench: Workbench) -> None:
    class Poisoned(Synergy):
        name = "poisoned"

        def load(self, part: Part) -> Split:
            assert part != "test", "search looked at the test part"
            return super().load(part)

    plugins.datasets.add(Poisoned, "test")
    train_trial(spec(task="poisoned"), plugins, bench)
    with pytest.raises(AssertionError, match="looked at the test part"):
        run_trial(spec(task="poisoned"), plugins, bench)


def test_a_spec_re_runs_exactly(plugins: Plugins, tmp_path) -> None:
    def fresh() -> tuple[list, Tensor]:
        bench = Workbench(torch.device("cpu"), FeatureCache(tmp_path))
        result = run_trial(spec(), plugins, bench)
        fitted = result.trained.fitted
        assert 0 < sum(c["seconds"] for c in fitted.curve) < fitted.seconds
        return [(c["train_loss"], c["score"]) for c in fitted.curve], result.test_scores

    (curve_a, scores_a), (curve_b, scores_b) = fresh(), fresh()
    assert curve_a == curve_b
    assert torch.equal(scores_a, scores_b)


class FrozenProjection(Encoder):
    """A random projection that never trains, and counts how often it runs."""

    name = "frozen-projection"
    accepts = "tabular"
    frozen = True
    calls = 0

    def __init__(self, fitted) -> None:
        super().__init__(fitted)
        self.project = nn.Linear(fitted["shape"][0], 8).requires_grad_(False)
        self.drop = nn.Dropout(0.5)
        self.out_dim = 8

    def forward(self, inputs: Tensor) -> Encoded:
        type(self).calls += 1
        return Encoded.vector(self.drop(self.project(inputs)))


def test_cached_features_equal_live_ones(plugins: Plugins, bench: Workbench) -> None:
    plugins.encoders.add(FrozenProjection, "test")
    result = run_trial(spec(encoder="frozen-projection"), plugins, bench)
    model, encoders = result.trained.model.eval(), result.trained.model.encoders_by_modality
    live = Split(
        {m: Column(encoders[m].prepare(result.test.columns[m].values)) for m in encoders},
        result.test.target,
    )
    with torch.inference_mode():
        torch.testing.assert_close(model(live).scores, result.test_scores)
    before = FrozenProjection.calls
    again = run_trial(spec(encoder="frozen-projection"), plugins, bench)
    assert FrozenProjection.calls == before, "the second trial ran the encoder again"
    assert torch.equal(again.test_scores, result.test_scores)


class Remembering(Fusion):
    """Concatenation that writes down what it is given in training."""

    name = "remembering"
    seen: list[Tensor]

    def __init__(self, dims) -> None:
        super().__init__(dims)
        self.ballast = nn.Linear(7, self.extra)
        self.out_dim = sum(dims.values())
        type(self).seen = []

    extra = 3

    def forward(self, features: Features) -> Tensor:
        pooled = [e.pooled for e in features.values()]
        if self.training:
            self.seen.append(pooled[0].detach()[:, :1].clone())
        return torch.cat(pooled, -1)


class RememberingMore(Remembering):
    name = "remembering-more"
    extra = 300


def test_all_fusions_see_the_same_batches(plugins: Plugins, bench: Workbench) -> None:
    for cls in (Remembering, RememberingMore):
        plugins.fusions.add(cls, "test")
        train_trial(spec(cls.name, encoder="vector", learning_rate=3e-4), plugins, bench)
    for a, b in zip(Remembering.seen, RememberingMore.seen, strict=True):
        assert torch.equal(a, b)


def test_encoders_start_from_the_same_weights_under_every_fusion(
    plugins: Plugins, bench: Workbench
) -> None:
    def first_weights(fusion: str) -> Tensor:
        kept: list[Tensor] = []

        def look(model, _requests) -> None:
            kept.append(next(model.encoders["a"].parameters()).detach().clone())

        train_trial(spec(fusion, max_epochs=1), plugins, bench, on_built=look)
        return kept[0]

    assert torch.equal(first_weights("concat"), first_weights("lowrank"))


class Exploding(Fusion):
    name = "exploding"

    def __init__(self, dims) -> None:
        super().__init__(dims)
        self.out_dim = dims["a"]

    def forward(self, features: Features) -> Tensor:
        return features["a"].pooled / 0.0


def test_a_loss_that_is_no_number_is_an_error(plugins: Plugins, bench: Workbench) -> None:
    plugins.fusions.add(Exploding, "test")
    with pytest.raises(TrainingDiverged, match="training loss became"):
        train_trial(spec("exploding"), plugins, bench)


def test_a_score_that_is_no_number_is_an_error(
    plugins: Plugins, bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins.metrics["accuracy"], "__call__", lambda *_: math.nan)
    with pytest.raises(TrainingDiverged, match="accuracy on validation is nan"):
        train_trial(spec(), plugins, bench)


def test_rows_of_one_image_stay_together_and_all_rows_come_once() -> None:
    groups = torch.arange(50).repeat_interleave(7)
    order = epoch_order(350, groups, torch.Generator().manual_seed(0))
    assert order.sort().values.equal(torch.arange(350))
    seen = groups[order]
    changes = int((seen[1:] != seen[:-1]).sum())
    assert changes == 49, "a group is split"
    other = epoch_order(350, groups, torch.Generator().manual_seed(1))
    assert not order.equal(other)


def test_groups_follow_the_costliest_shared_column() -> None:
    image = Column(torch.zeros(4, 3, 8, 8), torch.tensor([0, 0, 1, 1, 2, 3]))
    text = Column(("yes", "no"), torch.tensor([0, 1, 0, 1, 0, 1]))
    split = Split({"text": text, "image": image}, torch.zeros(6))
    groups = groups_of(split)
    assert groups is not None and torch.equal(groups, image.value_of_row)
    unshared = Split({"a": Column(torch.zeros(6, 2))}, torch.zeros(6))
    assert groups_of(unshared) is None


def test_images_are_encoded_once_per_batch(plugins: Plugins, bench: Workbench) -> None:
    class Shared(Synergy):
        name = "shared"

        def load(self, part: Part) -> Split:
            split = super().load(part)
            index = torch.arange(len(split)) // 10
            columns = {m: Column(c.values[::10], index) for m, c in split.columns.items()}
            return replace(split, columns=columns)

    class Counting(FrozenProjection):
        name = "counting"
        frozen = False
        entries = 0

        def __init__(self, fitted) -> None:
            super().__init__(fitted)
            self.project.requires_grad_(True)

        def forward(self, inputs: Tensor) -> Encoded:
            if self.training:
                type(self).entries += len(inputs)
            return super().forward(inputs)

    plugins.datasets.add(Shared, "test")
    plugins.encoders.add(Counting, "test")
    train_trial(spec(task="shared", encoder="counting", max_epochs=1), plugins, bench)
    rows = len(Shared(size=400).load("train"))
    split_groups = rows / spec().train.batch_size + 1  # a batch's end may cut one group in two
    assert 2 * rows / 10 <= Counting.entries <= 2 * (rows / 10 + split_groups)


def test_requests_come_from_all_over_validation() -> None:
    assert spread_out(10, 4).tolist() == [0, 3, 6, 9]
    assert spread_out(3, 256).tolist() == [0, 1, 2]
    assert len(spread_out(3909, 256).unique()) == 256


def test_training_stops_at_a_score_that_cannot_be_beaten(
    plugins: Plugins, bench: Workbench
) -> None:
    easy = replace(spec(max_epochs=50), task=Component("synergy", {"size": 400, "noise": 0.05}))
    fitted = train_trial(easy, plugins, bench).fitted
    assert fitted.score == 1.0
    assert len(fitted.curve) == fitted.best_epoch + 1 < 50


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    train = TrainSpec(learning_rate=1e-2, warmup=0.25)
    rates = [learning_rate(train, step, 100) for step in range(101)]
    assert max(rates) == pytest.approx(1e-2) and rates.index(max(rates)) in (24, 25)
    assert rates[100] == pytest.approx(0.0)
    assert rates[:25] == sorted(rates[:25]) and rates[25:] == sorted(rates[25:], reverse=True)
    assert len(set(rates)) >= 100
    assert learning_rate(TrainSpec(learning_rate=1e-2, warmup=0.0), 0, 100) == 1e-2


class SecondModality(Fusion):
    """Reads only the second modality: the first must not even be encoded."""

    name = "second"

    def __init__(self, dims) -> None:
        super().__init__(dims)
        assert set(dims) == {"b"}
        self.out_dim = dims["b"]

    @classmethod
    def reads(cls, modalities: Sequence[str], **params) -> Sequence[str]:
        return modalities[1:]

    def forward(self, features: Features) -> Tensor:
        assert set(features) == {"b"}
        return features["b"].pooled


def test_what_a_fusion_does_not_read_is_not_encoded(plugins: Plugins, bench: Workbench) -> None:
    plugins.fusions.add(SecondModality, "test")
    trained = train_trial(spec("second"), plugins, bench)
    assert set(trained.model.encoders) == {"b"} == set(trained.requests.columns)
