"""K trainings at once give what each gives alone: weights, curves and ends.

Weights are compared in float64, where rounding is out of the way: to 1e-6. In float32 training
enlarges rounding; scores on validation are compared there.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import optuna
import pytest
import torch
from filelock import FileLock
from small_search import name_of
from torch import nn

from mmbench.comparison.tuning import tune
from mmbench.contracts import Encoder, Objective
from mmbench.errors import InvalidSpec, TrainingDiverged
from mmbench.features import prepare
from mmbench.final import FAILURE, RESULT
from mmbench.model import FusionModel, build_encoders, build_model, build_objective
from mmbench.plugins import load_plugins
from mmbench.resolve import Resolved, resolve
from mmbench.search import siblings
from mmbench.search.attempt import Attempt, Stopped, Violated, run_together
from mmbench.search.candidates import find_candidates
from mmbench.search.finals import evaluate, results
from mmbench.search.jobs import BEGUN, Job, begun, ended, groups, work_on_jobs, write_jobs
from mmbench.search.request import SearchRequest
from mmbench.search.siblings import SiblingTPE, shared_by_siblings, siblings_wanted
from mmbench.search.storage import open_storage
from mmbench.search.study import RECORD, REQUEST, SPEC, create_or_continue, request_of
from mmbench.search.worker import Budget, work
from mmbench.space import Range
from mmbench.spec import Component, TrainSpec, TrialSpec, spec_from_json
from mmbench.testing.practice import Practice, Started
from mmbench.together import Wanted, groups_of_one_structure, structure, train_together
from mmbench.together.fitting import Member, fit_together
from mmbench.together.groups import is_batched
from mmbench.together.stack import NotTogether
from mmbench.training import Fitted, go_on
from mmbench.trial import Trained, Workbench, run_trial, train_trial
from mmbench.types import Column, Encoded, Part, Split

C, CPU, PLUGINS = Component, torch.device("cpu"), load_plugins()
TRAIN = TrainSpec(max_epochs=2, batch_size=48, patience=2)
SAME = 1e-6
NOISE = 2.0
"""So much that no epoch is perfect: that would be the last."""


def silent(*_: object) -> None:
    """A listener."""


def double(split: Split) -> Split:
    columns = {m: Column(c.values.double(), c.index) for m, c in split.columns.items()}  # type: ignore[union-attr]
    return replace(split, columns=columns)


def started(objective: type[Objective], seed: int, train: TrainSpec, **params: float) -> Started:
    practice = Practice(objective, "classification", params, noise=NOISE, seed=seed, train=train)
    begun = practice.start()
    begun.model.double()
    begun.trainer.objective.double()
    return Started(begun.model, double(begun.train), double(begun.val), begun.trainer)


def together(trainings: Sequence[Started]) -> list[Member]:
    members = [Member(s.trainer, s.model, silent, silent) for s in trainings]
    fit_together(members, trainings[0].train, trainings[0].val, None)
    return members


def assert_same(alone: nn.Module, other: nn.Module) -> None:
    for (name, one), two in zip(alone.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(
            one, two, rtol=SAME, atol=SAME, msg=lambda m, n=name: f"{n}: {m}"
        )


PLAIN = PLUGINS.objectives["plain"]
MEMBERS = [
    (0, replace(TRAIN, learning_rate=1e-2)),
    (0, replace(TRAIN, learning_rate=1e-3, weight_decay=0.1, clip=0.05)),
    (5, replace(TRAIN, learning_rate=3e-3, warmup=0.5)),
]


def test_members_end_where_each_ends_alone() -> None:
    """Own seeds, learning rates, decays, clips and warm-ups; curves too."""
    alone = [started(PLAIN, seed, train) for seed, train in MEMBERS]
    curves = [s.fit().curve for s in alone]
    members = together([started(PLAIN, seed, train) for seed, train in MEMBERS])
    for one, curve, member in zip(alone, curves, members, strict=True):
        assert isinstance(member.end, Fitted)
        assert_same(one.model, member.model)
        for ours, theirs in zip(member.end.curve, curve, strict=True):
            assert ours["score"] == theirs["score"]
            assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-6)


def test_members_of_one_seed_read_the_same_rows_and_still_differ_by_their_rates() -> None:
    trains = [replace(TRAIN, learning_rate=rate) for rate in (1e-2, 1e-3)]
    members = together([started(PLAIN, 3, train) for train in trains])
    for train, member in zip(trains, members, strict=True):
        alone = started(PLAIN, 3, train)
        alone.fit()
        assert_same(alone.model, member.model)


def test_what_an_objective_learns_does_not_decay() -> None:
    """However much the weights do, alone and side by side."""
    cls, trains = PLUGINS.objectives["multi-task"], [replace(TRAIN, weight_decay=d) for d in (0, 9)]
    alone = [started(cls, 0, train) for train in trains]
    for one in alone:
        one.fit()
    members = together([started(cls, 0, train) for train in trains])
    for one, member in zip(alone, members, strict=True):
        assert_same(one.model, member.model)
    lazy = replace(TRAIN, weight_decay=9, learning_rate=1e-2, clip=0.0)  # only decay is left
    still = started(cls, 0, lazy)
    still.trainer.objective.log_variances.data.fill_(1.0)
    still.fit()
    assert (still.trainer.objective.log_variances == 1).all()


NUMBERS = {
    "focal": "gamma",
    "balanced-softmax": "tau",
    "contrastive": "temperature",
    "mixup": "alpha",
}


@pytest.mark.parametrize(("name", "number"), sorted(NUMBERS.items()))
def test_numbers_of_an_objective_are_each_members_own(name: str, number: str) -> None:
    """Also once the first of them has left."""

    def trainings() -> list[Started]:
        values = (0.5, 1.0, 2.5) if name == "focal" else (0.4, 0.3, 0.5)
        return [
            started(PLUGINS.objectives[name], i, replace(TRAIN, max_epochs=i + 1), **{number: v})
            for i, v in enumerate(values)
        ]

    for i, (alone, member) in enumerate(zip(trainings(), together(trainings()), strict=True)):
        alone.fit()
        assert len(member.end.curve) == i + 1  # type: ignore[union-attr]
        assert_same(alone.model, member.model)


def spec(seed: int = 0, **changes: object) -> TrialSpec:
    base = TrialSpec(
        C("synergy", {"size": 300}),
        {"a": C("mlp"), "b": C("mlp")},
        C("product"),
        C("mlp"),
        train=TrainSpec(max_epochs=3),
        seed=seed,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return Workbench(CPU)


def ends(
    specs: Sequence[TrialSpec], bench: Workbench, **listeners: object
) -> list[Trained | Exception]:
    found: dict[int, Trained | Exception] = {}
    wanted = [
        Wanted(s, lambda end, i=i: found.setdefault(i, end), **listeners)  # type: ignore[arg-type, misc]
        for i, s in enumerate(specs)
    ]
    train_together(wanted, PLUGINS, bench)
    return [found[i] for i in range(len(specs))]


@pytest.mark.usefixtures("at_once")
def test_whole_trials_have_the_scores_they_have_alone(bench: Workbench) -> None:
    """In float32: dropout of the head, frozen features beside a trained encoder, own seeds."""
    encoders = {"a": C("vector"), "b": C("mlp")}
    heads = [C("mlp", {"dropout": rate}) for rate in (0.0, 0.3, 0.5)]
    specs = [spec(seed, encoders=encoders, head=head) for seed, head in enumerate(heads)]
    for one, end in zip(specs, ends(specs, bench), strict=True):
        alone = train_trial(one, PLUGINS, bench)
        assert isinstance(end, Trained)
        for ours, theirs in zip(end.fitted.curve, alone.fitted.curve, strict=True):
            assert ours["score"] == pytest.approx(theirs["score"], abs=0.005)
            assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-3)


def test_every_member_reports_and_ends_by_itself() -> None:
    """One is pruned, one diverges, one stops early: the last goes on and is as it is alone."""

    class Pruned(Exception):
        pass

    rates, epochs, ended = [1e-5, 1e200, 1e-12, 1e-4], [], []
    trains = [
        replace(TRAIN, max_epochs=6, patience=2 if i == 2 else 9, learning_rate=rate)
        for i, rate in enumerate(rates)
    ]
    begun = [started(PLAIN, 0, train) for train in trains]

    def on_epoch(number: int, epoch: int, _values: dict[str, float]) -> None:
        epochs.append((number, epoch))
        if (number, epoch) == (0, 1):
            raise Pruned

    members = [
        Member(s.trainer, s.model, partial(on_epoch, i), lambda _end, i=i: ended.append(i))  # type: ignore[misc]
        for i, s in enumerate(begun)
    ]
    fit_together(members, begun[0].train, begun[0].val, None)
    assert ended == [1, 0, 2, 3]
    assert isinstance(members[0].end, Pruned) and isinstance(members[1].end, TrainingDiverged)
    assert isinstance(members[2].end, Fitted) and len(members[2].end.curve) == 3
    assert [epoch for number, epoch in epochs if number == 3] == list(range(6))
    alone = started(PLAIN, 0, trains[3])
    alone.fit()
    assert_same(alone.model, members[3].model)


@pytest.mark.usefixtures("at_once")
def test_one_that_cannot_be_built_leaves_the_others(bench: Workbench) -> None:
    def on_built(model: FusionModel, _requests: Split) -> None:
        if model.head.layers[2].p == 0.5:  # type: ignore[union-attr, operator, index]
            raise ValueError("too dear")

    specs = [spec(head=C("mlp", {"dropout": p})) for p in (0.1, 0.5, 0.2)]
    first, second, third = ends(specs, bench, on_built=on_built)
    assert isinstance(second, ValueError)
    assert isinstance(first, Trained) and isinstance(third, Trained)


def test_what_cannot_be_one_model_is_trained_one_by_one(
    bench: Workbench, caplog: pytest.LogCaptureFixture
) -> None:
    """Widths differ: no batched model, but the same answers."""
    caplog.set_level("INFO")
    specs = [spec(fusion=C("product", {"width": width})) for width in (16, 32)]
    for one, end in zip(specs, ends(specs, bench), strict=True):
        assert isinstance(end, Trained)
        assert end.fitted.score == train_trial(one, PLUGINS, bench).fitted.score
    assert "product: one by one, because: The members differ in model.fusion" in caplog.text


@pytest.mark.usefixtures("at_once")
def test_a_stop_ends_all(bench: Workbench) -> None:
    class Stopped(BaseException):
        pass

    def on_epoch(_epoch: int, _values: dict[str, float]) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        ends([spec(0), spec(1)], bench, on_epoch=on_epoch)


def test_models_that_differ_by_more_than_numbers_are_refused() -> None:
    other = started(PLAIN, 1, TRAIN)
    other.model.fusion.register_buffer("more", torch.zeros(1))
    with pytest.raises(NotTogether, match=r"model\.fusion"):
        together([started(PLAIN, 0, TRAIN), other])
    one, other = started(PLAIN, 0, TRAIN), started(PLAIN, 1, TRAIN)
    one.model.fusion.steps, other.model.fusion.steps = 1, 2
    with pytest.raises(NotTogether, match=r"model\.fusion\.steps"):
        together([one, other])


def test_groups_are_of_one_structure_and_bounded() -> None:
    specs = [
        spec(0),
        spec(1, train=TrainSpec(max_epochs=3, learning_rate=1e-3)),
        spec(0, fusion=C("concat")),
        spec(2, head=C("mlp", {"dropout": 0.4})),
        spec(0, head=C("mlp", {"width": 32})),
        spec(0, objective=C("ogm-ge"), head=C("linear")),
        spec(1, objective=C("ogm-ge"), head=C("linear")),
        spec(0, train=TrainSpec(max_epochs=3, batch_size=64)),
        spec(3),
    ]
    resolved = [resolve(s, PLUGINS) for s in specs]
    assert groups_of_one_structure(resolved, 3) == [[0, 1, 3], [8], [2], [4], [5], [6], [7]]


def test_those_that_cannot_be_batched_say_so() -> None:
    """A component that says ``batched`` is stacked in the kit; these are the exceptions."""
    alone = {n for n, f in PLUGINS.fusions.items() if not f.capabilities.batched}
    assert alone == {"concat-early", "recurrent"}
    encoders = {n for n, e in PLUGINS.encoders.items() if not e.batched}
    assert {"cnn", "gru", "lstm", "gru-series"} <= encoders
    assert not is_batched(resolve(spec(0, objective=C("ogm-ge"), head=C("linear")), PLUGINS))
    plain = resolve(spec(), PLUGINS)
    one_of_two = replace(plain, encoders={**plain.encoders, "a": PLUGINS.encoders["cnn"]})
    frozen = {**plain.spec.encoders, "a": C("cnn", {"frozen": True})}
    assert is_batched(plain) and not is_batched(one_of_two)
    assert is_batched(replace(one_of_two, spec=replace(plain.spec, encoders=frozen)))


@pytest.mark.parametrize(
    "name", ["patches", "text-transformer", "conv1d", "bag-of-words", "fasttext"]
)
def test_trained_encoders_are_stacked(name: str) -> None:
    cls = PLUGINS.encoders[name]
    draws = torch.Generator().manual_seed(0)
    values = {
        "image": torch.rand(96, 3, 16, 16, generator=draws),
        "series": torch.randn(96, 12, 4, generator=draws),
        "text": tuple(f"w{i % 7} w{i % 3}" for i in range(96)),
    }[cls.accepts]
    target = torch.arange(96) % 3
    index = torch.arange(96) // 2  # two rows share a value, and some have none
    index[::7] = -1
    split = Split({"a": Column(values, index)}, target)
    fitted = cls.fit(split.columns["a"])

    def training(seed: int) -> tuple[Started, dict[str, Encoder]]:
        practice = Practice(PLAIN, "classification", modalities=("a",), seed=seed, train=TRAIN)
        resolved = replace(practice.resolved(), encoders={"a": cls})
        resolved = replace(resolved, spec=replace(resolved.spec, encoders={"a": C(name)}))
        encoders = build_encoders(resolved, {"a": fitted})
        model = build_model(resolved, encoders).double()
        trainer = replace(practice.start().trainer, objective=build_objective(resolved, model))
        ready = prepare(split, encoders)
        return Started(
            model, ready if cls.accepts == "text" else double(ready), ready, trainer
        ), encoders

    alone = [training(seed)[0] for seed in (0, 1)]
    trainings = [training(seed)[0] for seed in (0, 1)]
    for one in (*alone, *trainings):
        object.__setattr__(one, "val", one.train)
    for one in alone:
        one.fit()
    for one, member in zip(alone, together(trainings), strict=True):
        assert_same(one.model, member.model)


class Power(Encoder):
    """Frozen, with a number that is no weight."""

    name, accepts, frozen = "power", "tabular", True

    def __init__(self, fitted, *, power: Annotated[float, Range(0.1, 2.0)] = 1.0):  # type: ignore[no-untyped-def]
        super().__init__(fitted)
        self.power, self.out_dim = power, 16

    def forward(self, inputs):  # type: ignore[no-untyped-def]
        return Encoded.vector(inputs.abs() ** self.power)


class Scaled(Power):
    """Live, with a number that its inputs are prepared by."""

    name, frozen = "scaled", False

    def __init__(self, fitted, *, power: Annotated[float, Range(0.1, 2.0)] = 1.0):  # type: ignore[no-untyped-def]
        super().__init__(fitted, power=power)
        self.layer = nn.Linear(16, 16)

    def prepare(self, values):  # type: ignore[no-untyped-def]
        return values * self.power

    def forward(self, inputs):  # type: ignore[no-untyped-def]
        return Encoded.vector(self.layer(inputs))


class Noisy(Scaled):
    """Draws for each value in training."""

    name = "noisy"

    def forward(self, inputs):  # type: ignore[no-untyped-def]
        noise = torch.randn_like(inputs) if self.training else 0.0
        return Encoded.vector(self.layer(inputs + noise))


@pytest.mark.parametrize("cls", [Power, Scaled])
def test_members_never_read_what_another_ones_number_makes(
    cls: type[Encoder],
    bench: Workbench,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setitem(PLUGINS.encoders._classes, cls.name, cls)
    specs = [
        spec(encoders={"a": C(cls.name, {"power": power}), "b": C("vector")})
        for power in (1.0, 0.2)
    ]
    for one, end in zip(specs, ends(specs, bench), strict=True):
        assert isinstance(end, Trained)
        alone = train_trial(one, PLUGINS, bench).fitted.curve
        for ours, theirs in zip(end.fitted.curve, alone, strict=True):
            assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-4)
    assert "because: Their frozen encoders differ" in caplog.text


def test_draws_for_shared_values_do_not_depend_on_who_trains_beside(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Batches of two seeds have different numbers of distinct values."""
    caplog.set_level("INFO")
    monkeypatch.setitem(PLUGINS.encoders._classes, "noisy", Noisy)
    load = Workbench.load

    def with_gaps(self: Workbench, resolved: Resolved, part: Part) -> Split:
        split = load(self, resolved, part)
        index = torch.arange(len(split)) // 2
        index[::7] = -1
        return split.with_column("a", Column(split.columns["a"].values, index))

    monkeypatch.setattr(Workbench, "load", with_gaps)
    own = Workbench(CPU)
    specs = [spec(seed, encoders={"a": C("noisy"), "b": C("vector")}) for seed in (0, 1)]
    for one, end in zip(specs, ends(specs, own), strict=True):
        assert isinstance(end, Trained)
        alone = train_trial(one, PLUGINS, own).fitted.curve
        for ours, theirs in zip(end.fitted.curve, alone, strict=True):
            assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-4)
    assert "because: The encoder of a draws at random, once for each value." in caplog.text


def test_a_batch_without_a_modality_changes_its_encoder_as_it_does_alone() -> None:
    """AdamW goes on with a gradient of zero; of none it would leave a weight as it is."""

    def training(seed: int) -> Started:
        begun = started(PLAIN, seed, replace(TRAIN, weight_decay=0.1, batch_size=8))
        values = begun.train.columns["a"].values
        index = torch.full((len(begun.train),), -1)
        index[:4] = torch.arange(4)  # most batches have none of these rows
        column = Column(values, index)
        return replace(begun, train=begun.train.with_column("a", column))

    alone = [training(seed) for seed in (0, 1)]
    for one in alone:
        one.fit()
    members = together([training(seed) for seed in (0, 1)])
    for one, member in zip(alone, members, strict=True):
        assert_same(one.model, member.model)


def test_a_weight_that_no_loss_reaches_stays_as_it_is() -> None:
    """Without decay, too; also after a member has left."""

    def training(seed: int) -> Started:
        train = replace(TRAIN, weight_decay=0.1, max_epochs=1 + seed)
        begun = started(PLAIN, seed, train)
        begun.model.fusion.idle = nn.Parameter(torch.full((3,), 1.0 + seed).double())
        return begun

    alone = [training(seed) for seed in range(3)]
    for one in alone:
        one.fit()
    members = together([training(seed) for seed in range(3)])
    for seed, (one, member) in enumerate(zip(alone, members, strict=True)):
        assert_same(one.model, member.model)
        assert member.model.fusion.idle.tolist() == [1.0 + seed] * 3


def test_a_weight_that_two_parts_share_stays_one_weight() -> None:
    def training(seed: int) -> Started:
        begun = started(PLAIN, seed, TRAIN)
        a, b = (begun.model.encoders[m].net[2] for m in "ab")
        b.weight = a.weight
        return begun

    alone = [training(seed) for seed in range(2)]
    for one in alone:
        one.fit()
    for one, member in zip(alone, together([training(0), training(1)]), strict=True):
        assert_same(one.model, member.model)


def test_vectors_are_held_once() -> None:
    from mmbench.together.batches import gather, vectors_once

    vectors = torch.randn(5, 4)
    features = Encoded.vector(vectors)
    features = Encoded(features.tokens.clone(), features.mask, features.pooled.clone())
    split = vectors_once(Split({"a": Column(features, torch.tensor([0, -1, 4]))}, torch.arange(3)))
    batch = gather(split, [torch.tensor([0, 1]), torch.tensor([2, 1])], CPU)
    expected = torch.stack(
        [torch.stack([vectors[0], vectors[0] * 0]), torch.stack([vectors[4], vectors[0] * 0])]
    )
    torch.testing.assert_close(batch.tensors["a.pooled"], expected)
    assert batch.tensors["a.mask"].squeeze(-1).tolist() == [[True, False], [True, False]]


# ---- jobs: a worker takes those of one structure at once


@pytest.mark.usefixtures("at_once")
def test_seeds_of_a_final_evaluation_train_together_with_the_scores_they_have_alone(
    tmp_path: Path,
) -> None:
    """A job that cannot be trained fails by itself; one that another worker has is left to it."""
    bench = Workbench(CPU)
    own = replace(spec().train, learning_rate=5e-3)
    broken = spec(4, encoders={"a": C("mlp")})
    specs = [resolve(spec(seed), PLUGINS).spec for seed in (1, 2, 3)] + [broken]
    specs.append(resolve(spec(1, train=own), PLUGINS).spec)
    jobs = write_jobs(tmp_path, specs)
    assert groups(jobs, PLUGINS, 16) == [[*jobs[:3], jobs[4]], [jobs[3]]]
    assert groups(jobs, PLUGINS, 3) == [jobs[:3], [jobs[4]], [jobs[3]]]
    run = evaluate(PLUGINS, bench, diagnose=False)
    taken: list[int] = []

    def watched(mine: Sequence[Job]) -> None:
        taken.append(len(mine))
        run(mine)

    with FileLock(jobs[2] / "lock"):
        work_on_jobs(jobs, watched, lambda: False, PLUGINS, 16)
    assert taken == [3, 1]
    assert (jobs[3] / FAILURE).exists() and not ended(jobs[2])
    found = results(jobs)[specs[0].family]
    assert [seed.spec.seed for seed in found] == [1, 2]
    for seed in found:
        alone = run_trial(seed.spec, PLUGINS, bench)
        torch.testing.assert_close(seed.test_scores, alone.test_scores, rtol=0.02, atol=0.02)
        assert seed.splits == alone.splits


def stop() -> None:
    raise Stopped


def test_a_stop_leaves_jobs_for_the_next_time(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, [spec(1), spec(2)])
    stopping = Workbench(CPU, between_steps=stop)
    work_on_jobs(jobs, tune(PLUGINS, stopping), lambda: False, PLUGINS, 16)
    assert not any(ended(job) for job in jobs)
    assert not any(begun(job) for job in jobs), "nobody died of them"
    work_on_jobs(jobs, tune(PLUGINS, Workbench(CPU)), lambda: True, PLUGINS, 16)
    assert not any(ended(job) for job in jobs)
    work_on_jobs(jobs, tune(PLUGINS, Workbench(CPU)), lambda: False, PLUGINS, 16)
    assert all((job / RESULT).exists() for job in jobs)


def test_who_kills_a_worker_twice_has_failed_and_the_others_of_its_group_have_not(
    tmp_path: Path,
) -> None:
    jobs = write_jobs(tmp_path, [spec(seed) for seed in (1, 2, 3)])
    taken: list[list[int]] = []

    def run(mine: Sequence[Job]) -> None:
        taken.append([job.spec.seed for job in mine])
        if 2 in taken[-1]:
            raise SystemExit  # as if it were killed: nothing after it happens
        for job in mine:
            (job.folder / RESULT).write_text("{}")

    for _ in range(2):
        with pytest.raises(SystemExit):
            work_on_jobs(jobs, run, lambda: False, PLUGINS, 16)
    work_on_jobs(jobs, run, lambda: False, PLUGINS, 16)
    assert taken == [[1, 2, 3], [1], [2], [3]]
    assert "its worker died 2 times of it" in (jobs[1] / FAILURE).read_text()
    assert [(job / RESULT).exists() for job in jobs] == [True, False, True]
    assert not any(begun(job) for job in write_jobs(tmp_path, [spec(2)])), "it is tried again"


def test_what_others_have_ended_or_died_of_meanwhile_joins_no_group(tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path, [spec(seed) for seed in (1, 2, 3, 4, 5, 6)])
    taken: list[list[int]] = []

    def run(mine: Sequence[Job]) -> None:
        taken.append([job.spec.seed for job in mine])
        (jobs[2] / RESULT).touch()
        (jobs[4] / BEGUN).write_text("1")

    work_on_jobs(jobs, run, lambda: False, PLUGINS, 2)
    assert taken == [[1, 2], [4], [6]]


# ---- a search takes trials of one structure at once


def asked(**changes: object) -> SearchRequest:
    task = PLUGINS.datasets["synergy"]().task
    candidates = find_candidates(
        task,
        PLUGINS,
        "cpu",
        fusions=["concat", "product"],
        heads=["mlp"],
        encoders=["mlp"],
        objectives=["plain"],
    )
    train = {"max_epochs": 2, "batch_size": 64}
    request = SearchRequest(C("synergy", {"size": 200}), candidates, "cpu", train=train)
    return replace(request, **changes)  # type: ignore[arg-type]


def study_at(url: str, request: SearchRequest) -> optuna.Study:
    return create_or_continue(name_of(request, PLUGINS), request, open_storage(url), PLUGINS)


def test_a_budget_of_trials_is_not_spent_on_few_structures() -> None:
    assert [siblings_wanted(16, left) for left in (None, 27, 31, 1000)] == [3, 0, 1, 3]
    assert siblings_wanted(1, None) == 0


def test_a_search_takes_siblings_once_the_queue_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They share all but floats; every one is reported, told and charged by itself."""
    monkeypatch.setattr(siblings, "STRUCTURES", 1)
    url = str(tmp_path / "study.journal")
    study = study_at(url, asked())
    queued = len(study.trials)
    ends = work(study.study_name, url, Budget(trials=queued + 6), PLUGINS, together=4)
    assert sum(ends.values()) == queued + 6 and set(ends) <= {"finished", "pruned"}
    trials = study.trials[queued - 1 :]  # the last of the queue has siblings already
    for group in (trials[:4], trials[4:]):
        specs = [spec_from_json(t.user_attrs[SPEC]) for t in group]
        assert len({structure(resolve(s, PLUGINS)) for s in specs}) == 1
        assert len({s.train.learning_rate for s in specs}) == len(group)
        assert all(t.intermediate_values for t in group)
        assert all(t.user_attrs[RECORD]["seconds"] > 0 for t in group)


def test_siblings_keep_their_structure_where_all_trials_so_far_have_its_choice() -> None:
    study, fusions = optuna.create_study(), ["a", "b", "c"]
    for n in range(20):
        trial = study.ask()
        trial.suggest_categorical("fusion", fusions)
        study.tell(trial, n)
    study.sampler = SiblingTPE({"fusion": "c"}, seed=0)
    drawn = [study.ask().suggest_categorical("fusion", fusions) for _ in range(5)]
    assert drawn == ["c"] * 5


def attempts_of_one_structure(
    url: str, request: SearchRequest, n: int, between_steps: Callable[[], None] = go_on
) -> list[Attempt]:
    study, bench = study_at(url, request), Workbench(CPU, between_steps=between_steps)
    for _queued in study.trials:
        study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    study.sampler = optuna.samplers.RandomSampler(seed=0)
    first = Attempt(study, study.ask(), request, PLUGINS, bench)
    first.propose()
    study.sampler = SiblingTPE(shared_by_siblings(first) or {}, seed=1)
    others = [Attempt(study, study.ask(), request, PLUGINS, bench) for _ in range(n - 1)]
    return [first, *others]


@pytest.mark.usefixtures("at_once")
def test_one_of_a_group_may_fail_or_be_too_dear(tmp_path: Path, monkeypatch) -> None:
    group = attempts_of_one_structure(str(tmp_path / "study.journal"), asked(), 3)

    def on_epoch(_epoch: int, _values: dict[str, float]) -> None:
        raise ZeroDivisionError("a bug")

    def on_built(*_: object) -> None:
        raise Violated

    monkeypatch.setattr(group[0], "_on_epoch", on_epoch)
    monkeypatch.setattr(group[1], "_on_built", on_built)
    run_together(group)
    assert [one.state for one in group] == ["failed", "violated", "finished"]
    assert group[0].record["reason"] == "ZeroDivisionError: a bug"
    assert "on_epoch" in group[0].record["error"]


@pytest.mark.parametrize("n", [1, 3])
def test_a_training_is_left_between_two_steps(tmp_path: Path, n: int) -> None:
    """An epoch can take many minutes: neither a deadline nor Ctrl-C waits for its end."""
    group = attempts_of_one_structure(str(tmp_path / "study.journal"), asked(), n)
    steps = []

    def two_are_enough() -> None:
        steps.append(1)
        if len(steps) == 2:
            raise Stopped

    for one in group:
        one.bench = replace(one.bench, between_steps=two_are_enough)
    run_together(group)
    assert [one.state for one in group] == ["interrupted"] * n
    assert len(steps) == 2
    assert all(one.record["curve"] == [] for one in group)


def test_a_stopped_group_is_given_back_whole(tmp_path: Path) -> None:
    url = str(tmp_path / "study.journal")
    group = attempts_of_one_structure(url, asked(), 3, stop)
    run_together(group)
    assert [one.state for one in group] == ["interrupted"] * 3
    waiting = [t for t in study_at(url, asked()).trials if t.state.name == "WAITING"]
    assert len(waiting) == 3


def test_a_study_of_another_version_is_told_from_one_of_ours(tmp_path: Path) -> None:
    study = study_at(str(tmp_path / "study.journal"), asked())
    study.set_user_attr(REQUEST, {**study.user_attrs[REQUEST], "mood": "good"})
    with pytest.raises(InvalidSpec, match=r"made by another version of mmbench: .*'mood'"):
        request_of(study)
