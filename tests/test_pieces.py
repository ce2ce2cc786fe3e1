"""Out of memory: smaller pieces, the same result. Half precision: a setting of the spec."""

import logging
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Encoder, Fusion
from mmbench.errors import InvalidParameter
from mmbench.feature_cache import FeatureCache
from mmbench.features import encodings
from mmbench.pieces import encode_in_pieces, ran_out, within_memory
from mmbench.plugins import Plugins, load_plugins
from mmbench.resolve import objective_misfit
from mmbench.spec import Component, TrainSpec, TrialSpec, spec_from_json, train_spec
from mmbench.trial import Trained, Workbench, train_trial
from mmbench.types import Encoded, Features

CPU = torch.device("cpu")
QUICK = ("contrastive", "deep-cca", "ogm-ge", "functional-entropy", "mla")
"""A loss over pairs of rows, one over the whole batch, altered gradients, gradients of gradients,
and several updates a batch. The others are slow together."""
assert set(QUICK) <= set(load_plugins().objectives)
OBJECTIVES = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in sorted(load_plugins().objectives)
]


def spec(objective: str = "plain", fusion: str = "product", **train: object) -> TrialSpec:
    encoder = Component("vector")  # no dropout: a piece would draw other masks
    return TrialSpec(
        Component("synergy", {"size": 300}),
        {"a": encoder, "b": encoder},
        Component(fusion),
        Component("linear"),
        Component(objective),
        replace(TrainSpec(max_epochs=2, batch_size=64), **train),
    )


@pytest.fixture
def plugins() -> Plugins:
    return load_plugins.__wrapped__()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    return Workbench(CPU, FeatureCache(tmp_path_factory.mktemp("features")))


class Cramped(Fusion):
    """Concatenation and products in a room for so many rows."""

    name = "cramped"
    capabilities = Capabilities(min_modalities=2, interaction=True)
    room = 10**9
    error: Exception = torch.OutOfMemoryError("CUDA out of memory")
    seen: ClassVar[list[int]]

    def __init__(self, dims) -> None:
        super().__init__(dims)
        self.mix = nn.Linear(sum(dims.values()), 8)
        self.out_dim = 8

    def forward(self, features: Features) -> Tensor:
        pooled = [e.pooled for e in features.values()]
        if self.training:
            type(self).seen.append(len(pooled[0]))
            if len(pooled[0]) > self.room:
                raise self.error
        return torch.tanh(self.mix(torch.cat(pooled, -1))) * pooled[0].mean(1, keepdim=True)


def trained(plugins: Plugins, bench: Workbench, objective: str, room: int) -> Trained:
    cramped = type("C", (Cramped,), {"room": room, "seen": []})
    plugins.fusions.add(cramped, "test")
    return train_trial(spec(objective, "cramped"), plugins, bench)


def weights(run: Trained) -> Tensor:
    return nn.utils.parameters_to_vector(run.model.parameters())


def test_out_of_memory_trains_in_smaller_pieces_with_the_same_result(
    bench: Workbench, caplog: pytest.LogCaptureFixture
) -> None:
    whole = trained(load_plugins.__wrapped__(), bench, "plain", 10**9)
    with caplog.at_level(logging.WARNING):
        small = trained(load_plugins.__wrapped__(), bench, "plain", 20)
    assert whole.model.micro_batch is None and small.model.micro_batch == 16
    assert max(small.model.fusion.seen[1:]) <= 16 and "16 rows at a time" in caplog.text
    torch.testing.assert_close(weights(small), weights(whole), rtol=1e-4, atol=1e-6)
    for a, b in zip(whole.fitted.curve, small.fitted.curve, strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-5)
        assert a["score"] == b["score"]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_gives_the_same_in_pieces(
    plugins: Plugins, bench: Workbench, objective: str
) -> None:
    """Also those whose loss compares rows with each other or alters gradients."""
    cls = plugins.objectives[objective]
    if objective_misfit(cls, plugins.datasets["synergy"]().task):
        pytest.skip("for other tasks")
    fusion = (cls.requires.get("fusion") or ["product"])[0]
    head = (cls.requires.get("head") or ["linear"])[0]
    asked = replace(spec(objective, fusion), head=Component(head))
    asked = replace(asked, train=replace(asked.train, max_epochs=1))
    whole = train_trial(asked, plugins, bench)
    attempts = []

    def cramped(model, _requests) -> None:
        attempts.append(model)
        if len(attempts) == 1:
            raise torch.OutOfMemoryError("injected")

    small = train_trial(asked, plugins, bench, on_built=cramped)
    assert small.model.micro_batch == 16
    torch.testing.assert_close(weights(small), weights(whole), rtol=0, atol=1e-4)  # a step is 4e-3


def test_epochs_are_told_once_though_training_begins_anew(
    plugins: Plugins, bench: Workbench
) -> None:
    class Later(Cramped):
        """Memory runs out in the second epoch."""

        name, seen = "later", []

        def forward(self, features: Features) -> Tensor:
            self.error = torch.OutOfMemoryError("injected")
            rows = len(features["a"])
            self.room = 16 if len(self.seen) >= 4 else 10**9
            assert rows
            return super().forward(features)

    plugins.fusions.add(Later, "test")
    told: list[int] = []
    asked = spec(fusion="later", max_epochs=3, patience=3)
    run = train_trial(asked, plugins, bench, lambda e, _v: told.append(e))
    assert run.model.micro_batch == 16 and told == [0, 1, 2]


def test_what_does_not_fit_row_by_row_has_failed() -> None:
    sizes: list[int | None] = []

    def train(size: int | None) -> None:
        sizes.append(size)
        raise MemoryError

    with pytest.raises(MemoryError):
        within_memory(train, 128)
    assert sizes == [None, 32, 8, 2, 1]


def test_only_a_lack_of_memory_is_taken_for_one() -> None:
    assert ran_out(torch.OutOfMemoryError("x")) and ran_out(MemoryError())
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)
    assert ran_out(caught.value) and not ran_out(RuntimeError("wires crossed"))
    for words in (
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ):
        assert ran_out(RuntimeError(words))


def test_pieces_keep_the_activations_of_one_piece() -> None:
    net = nn.Sequential(*[nn.Sequential(nn.Linear(64, 64), nn.Tanh()) for _ in range(8)])
    values = torch.randn(64, 64)

    def kept(size: int | None) -> tuple[int, Tensor]:
        sizes: list[int] = []

        def note(tensor: Tensor) -> Tensor:
            sizes.append(tensor.nbytes)
            return tensor

        net.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
            loss = encode_in_pieces(lambda x: Encoded.vector(net(x)), values, size).pooled.sum()
        loss.backward()
        return sum(sizes), net[0][0].weight.grad.clone()

    (all_of_it, gradient), (little, same) = kept(None), kept(8)
    assert little * 4 < all_of_it
    torch.testing.assert_close(same, gradient)


def test_a_frozen_encoder_that_does_not_fit_reads_fewer_values() -> None:
    class Small(Encoder):
        name, accepts, frozen, out_dim = "small", "tabular", True, 4
        seen: ClassVar[list[int]] = []

        def forward(self, inputs: Tensor) -> Encoded:
            self.seen.append(len(inputs))
            if len(inputs) > 5:
                raise torch.OutOfMemoryError("injected")
            return Encoded.vector(inputs)

    values = torch.randn(40, 4)
    parts = list(encodings(Small({}), values, size=20))
    assert torch.equal(torch.cat([p.pooled for p in parts]), values)
    assert Small.seen == [20, *[5] * 8]


# half precision


def test_half_precision_multiplies_in_it_and_keeps_weights_and_losses_whole(
    plugins: Plugins, bench: Workbench
) -> None:
    dtypes: dict[str, torch.dtype] = {}

    class Looks(Cramped):
        name, seen = "looks", []

        def forward(self, features: Features) -> Tensor:
            pooled = [e.pooled for e in features.values()]
            dtypes["features"], dtypes["product"] = (
                pooled[0].dtype,
                self.mix(torch.cat(pooled, -1)).dtype,
            )
            return super().forward(features)

    plugins.fusions.add(Looks, "test")
    asked = spec(fusion="looks")
    plain = train_trial(asked, plugins, bench)
    assert dtypes["product"] == torch.float32
    half = train_trial(
        replace(asked, train=replace(asked.train, precision="bfloat16")), plugins, bench
    )
    assert dtypes == {"features": torch.float32, "product": torch.bfloat16}
    assert {p.dtype for p in half.model.parameters()} == {torch.float32}
    outputs = half.model(half.requests.rows(torch.arange(8)))
    assert outputs.scores.dtype == outputs.fused.dtype == torch.float32
    difference = (weights(half) - weights(plain)).abs().max()
    assert 0 < difference < 0.05, "rounded, but the same training"


def test_a_frozen_encoder_is_live_as_precise_as_its_cached_features(plugins: Plugins) -> None:
    class Frozen(Encoder):
        name, accepts, frozen = "frozen", "tabular", True

        def __init__(self, fitted) -> None:
            super().__init__(fitted)
            self.out_dim, self.project = 4, nn.Linear(fitted["shape"][0], 4).requires_grad_(False)

        def forward(self, inputs: Tensor) -> Encoded:
            return Encoded.vector(self.project(inputs))

    plugins.encoders.add(Frozen, "test")
    asked = replace(
        spec(precision="bfloat16", max_epochs=1), encoders=dict.fromkeys("ab", Component("frozen"))
    )
    seen: list[tuple[Tensor, Tensor]] = []

    def look(model, requests) -> None:
        batch = requests.rows(torch.arange(8))
        live = model.encode(batch)["a"].pooled
        seen.append((live, model.encoders["a"](batch.columns["a"].values).pooled))

    train_trial(asked, plugins, Workbench(CPU), on_built=look)
    assert torch.equal(*seen[0])


def test_the_precision_is_part_of_the_id_only_where_it_is_set() -> None:
    plain, half = spec(), spec(precision="bfloat16")
    assert "precision" not in plain.to_json() and plain.id != half.id
    assert spec_from_json(half.to_json()) == half and spec_from_json(plain.to_json()) == plain
    with pytest.raises(InvalidParameter, match="float32 or bfloat16"):
        train_spec({"precision": "half"})
