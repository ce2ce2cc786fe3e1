"""Every paradigm there is keeps the contract."""

import math

import pytest
import torch
from torch import Tensor

from mmbench.cli.described import spec_of
from mmbench.errors import Incompatible
from mmbench.objectives.plain import PlainObjective
from mmbench.resolve import resolve, resolve_dataset
from mmbench.search.candidates import find_candidates
from mmbench.spec import Component, TrainSpec, TrialSpec
from mmbench.testing import objective_checks
from mmbench.testing.practice import installed
from mmbench.testing.training import training_checks
from mmbench.trial import Workbench, train_trial
from mmbench.types import Task

CPU = torch.device("cpu")
CORNERS = {
    "contrastive": {"learned": False},
    "deep-cca": {"width": 2},
    "functional-entropy": {"samples": 2},
    "joint": {"weights": "a=0.1,b=2"},
    "mla": {"alpha": 0.01},
    "ogm-ge": {"alpha": 1.0, "noise": False},
    "opm": {"q_base": 0.6, "alpha": 1.0, "applied": 1.0, "warmup": 0},
    "pmr": {"alpha": 2.0, "mu": 0.5, "entropy_epochs": 5, "momentum": 0.9},
    "reconboost": {"reconcile": 0.9, "agreement": 1.0},
}
"""Hyperparameters far from the defaults, for paradigms that then take another path."""
TRAINING = {check.__name__ for check in training_checks()}
"""Dear, and the same code whatever the hyperparameters: once for each paradigm."""


def contract():
    """Every check for every paradigm; in its corner, those without a training."""
    for name, cls in sorted(installed().objectives.items()):
        for check in objective_checks():
            yield pytest.param(cls, {}, check, id=f"{name}-{check.__name__}")
        if name in CORNERS:
            for check in objective_checks():
                if check.__name__ not in TRAINING:
                    yield pytest.param(cls, CORNERS[name], check, id=f"{name}+-{check.__name__}")


@pytest.mark.parametrize(("cls", "params", "check"), list(contract()))
def test_contract(cls, params, check):
    check(cls, **params)


@pytest.mark.parametrize("name", sorted(installed().objectives))
def test_a_run_that_names_a_paradigm_alone_is_complete(name):
    cls = installed().objectives[name]
    task = "emoji-retrieval" if cls.targets == {"retrieval"} else "synergy"
    spec = spec_of(Component(task), None, [], None, name, [], installed())
    assert resolve(spec, installed()).objective is cls


def heads_of(objective: str, encoder: str, fusion: str = "concat") -> dict[str, torch.Tensor]:
    """What fusion and head have learnt, without anything that draws or is clipped."""
    spec = TrialSpec(
        Component("synergy", {"size": 300}),
        {"a": Component(encoder), "b": Component(encoder)},
        Component(fusion),
        Component("linear"),
        Component(objective),
        TrainSpec(max_epochs=2, clip=1e9),
    )
    model = train_trial(spec, installed(), Workbench(CPU)).model
    parts = {"fusion": model.fusion, "head": model.head or model.unimodal_heads}
    return {f"{p}.{n}": t for p, part in parts.items() for n, t in part.state_dict().items()}


@pytest.mark.parametrize(
    "name",
    [n for n, o in sorted(installed().objectives.items()) if o.acts_on_encoders] + ["mixup"],
)
def test_what_acts_on_encoders_is_plain_where_they_are_frozen(name):
    plain, other = (heads_of(objective, "vector") for objective in ("plain", name))
    alike = all(torch.allclose(plain[n], other[n], atol=1e-5) for n in plain)
    assert alike == installed().objectives[name].acts_on_encoders


@pytest.mark.parametrize(
    "name", [n for n, o in sorted(installed().objectives.items()) if o.acts_on_heads]
)
def test_what_acts_on_heads_is_plain_unless_the_fusion_combines_them(name: str) -> None:
    def apart(fusion: str) -> float:
        plain, other = (heads_of(objective, "vector", fusion) for objective in ("plain", name))
        return max(float((plain[n] - other[n]).abs().max()) for n in plain)

    # those that weigh the fused loss are as plain as AdamW forgets the scale of a loss
    assert apart("concat") < 5e-3 < apart("late-weighted")


def test_a_search_of_frozen_encoders_does_not_try_it_under_another_name():
    task = resolve_dataset(Component("synergy"), installed())[1].task
    found = find_candidates(task, installed(), "cpu", encoders=["vector"])
    assert "agm acts on encoders while they train" in found.dropped["agm"]
    assert {"plain", "opm"} <= set(found.objectives) and "pmr" not in found.objectives
    mixed = find_candidates(task, installed(), "cpu", encoders=["vector", "mlp"])
    assert {"agm", "pmr", "ogm-ge", "mmpareto"} <= set(mixed.objectives)


def test_heads_that_no_fusion_combines_are_no_paradigm_of_frozen_encoders() -> None:
    task = resolve_dataset(Component("synergy"), installed())[1].task
    found = find_candidates(task, installed(), "cpu", encoders=["vector"], fusions=["concat"])
    assert "joint acts on encoders while they train, or through" in found.dropped["joint"]
    late = ["concat", "late-average"]
    found = find_candidates(task, installed(), "cpu", encoders=["vector"], fusions=late)
    assert {"joint", "gradient-blend"} <= set(found.objectives)


def test_with_one_modality_a_search_tries_what_differs_and_nothing_twice():
    task = Task({"a": "tabular"}, "classification", ("x", "y"), "accuracy")
    found = find_candidates(task, installed(), "cpu")
    assert (found.fusions, found.objectives) == (["concat"], ["mixup", "plain"])
    assert found.dropped["sum"] == "sum has nothing to fuse: there is one modality (a)"
    needs_two = "objective ogm-ge needs at least 2 modalities; the task has 1 (a)"
    assert found.dropped["ogm-ge"] == needs_two
    named = find_candidates(task, installed(), "cpu", fusions=["sum"])
    assert named.fusions == ["sum"]
    with pytest.raises(Incompatible) as told:
        find_candidates(task, installed(), "cpu", objectives=["ogm-ge"])
    assert str(told.value) == f"No objective is left to search: {needs_two}."


@pytest.mark.parametrize(("least", "passes"), [(0, 2), (35, 7)])
def test_an_epoch_of_a_paradigm_is_a_part_of_the_training_however_few_the_rows(
    monkeypatch: pytest.MonkeyPatch, least: int, passes: int
) -> None:
    began, practised, seen = [], [], []

    def begin(self: PlainObjective, model: torch.nn.Module, course: object) -> None:
        def loss(batch: object) -> Tensor:
            practised.append(batch)
            return sum(p.sum() for p in model.parameters())

        course.practise(loss, [model], 1)

    def begin_epoch(self: PlainObjective, epoch: int, model: object, course: object) -> None:
        began.append((epoch, course.epochs, len(seen)))

    monkeypatch.setattr(PlainObjective, "begin", begin)
    monkeypatch.setattr(PlainObjective, "begin_epoch", begin_epoch)
    settings = {"max_epochs": 2, "patience": 2, "batch_size": 64, "min_steps": least}
    spec = TrialSpec(
        Component("synergy", {"size": 300}),  # five steps
        {"a": Component("mlp"), "b": Component("mlp")},
        Component("concat"),
        Component("linear"),
        train=TrainSpec(**settings),
    )
    train_trial(spec, installed(), Workbench(CPU), on_epoch=lambda *_: seen.append(1))
    half = -(-passes // 2)
    assert began == [(0, 2, 0), (1, 2, half)] and len(seen) == passes
    assert len(practised) == half * 5


def test_what_a_paradigm_practises_is_learnt_at_a_falling_pace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a loss of slope one AdamW steps by the learning rate: it rises, then falls to nothing."""
    place = torch.nn.Parameter(torch.zeros(()))
    places, modes = [], []

    def begin(self: PlainObjective, model: torch.nn.Module, course: object) -> None:
        def loss(batch: object) -> Tensor:
            places.append(place.item())
            return -place

        course.practise(loss, [torch.nn.ParameterList([place])], 2)
        places.append(place.item())

    def begin_epoch(self: PlainObjective, epoch: int, model: torch.nn.Module, _: object) -> None:
        modes.append((model.training, self.training))

    monkeypatch.setattr(PlainObjective, "begin", begin)
    monkeypatch.setattr(PlainObjective, "begin_epoch", begin_epoch)
    spec = TrialSpec(
        Component("synergy", {"size": 300}),  # five steps
        {"a": Component("mlp"), "b": Component("mlp")},
        Component("concat"),
        Component("linear"),
        train=TrainSpec(max_epochs=2, batch_size=64, warmup=0.2, weight_decay=1e-6),
    )
    train_trial(spec, installed(), Workbench(CPU))
    paces = torch.tensor(places).diff() / spec.train.learning_rate
    cosine = [0.5 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]
    torch.testing.assert_close(paces, torch.tensor([0.5, 1.0, *cosine]), atol=1e-3, rtol=0)
    assert modes == [(False, False)] * 2
