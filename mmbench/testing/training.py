"""What every objective promises of a whole training, in the tiny world of ``practice``."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.contracts import Objective
from mmbench.losses import supervised_loss
from mmbench.metrics.retrieval import MeanRecall
from mmbench.sequences import commonest_tokens
from mmbench.spec import TrainSpec
from mmbench.testing.practice import BRIEF, N_OUTPUTS, Practice, Started
from mmbench.testing.searched import assert_all_matter
from mmbench.testing.subject import Check, promise
from mmbench.training import predict
from mmbench.types import FUSED_TARGETS, Column, Split, TargetKind

SHORT = TrainSpec(max_epochs=2, batch_size=96, patience=2, learning_rate=1e-3)
"""Two epochs of two batches: what is to be seen does not need a good model.

They are slow steps: a first epoch that is perfect would be the only one."""
UNSOLVED = TrainSpec(batch_size=96, patience=TrainSpec().max_epochs, learning_rate=1e-3)
"""As many epochs as a trial has, none of them perfect: what acts late has its turn."""
SOLVED = 0.5
"""The tiny task is solved if the loss falls under half of what a constant prediction costs, or if
no prediction is wrong: training stops there, however unsure the model still is."""


@dataclass(frozen=True, slots=True)
class Run:
    """A training that has ended, and what it began with."""

    started: Started
    score: float
    parameters: Mapping[str, Tensor]
    data: tuple[Tensor, ...]


def _run(
    cls: type[Objective], kind: TargetKind, params: Mapping[str, Any], train: TrainSpec
) -> Run:
    """Checks that look at one training share it: it is the dear part of them."""
    return _trained(cls, kind, tuple(params.items()), train)


@lru_cache(maxsize=8)
def _trained(
    cls: type[Objective], kind: TargetKind, params: tuple[tuple[str, Any], ...], train: TrainSpec
) -> Run:
    started = Practice(cls, kind, dict(params), train=train).start()
    parameters = _parameters(started)
    data = tuple(tensor.clone() for tensor in _tensors(started.train))
    return Run(started, started.fit().score, parameters, data)


def training_solves_the_task(cls: type[Objective], **params: Any) -> None:
    """A linear head on two informative modalities learns the task, whatever the paradigm."""
    for kind in sorted(cls.targets):
        run = _run(cls, kind, params, BRIEF)
        started = run.started
        if run.score == started.trainer.metric.best:
            continue
        reached = _loss(predict(started.model, started.val, torch.device("cpu")), started.val, kind)
        constant = _loss(_constant(started.train, started.val, kind), started.val, kind)
        assert reached < SOLVED * constant, (
            f"objective {cls.name!r} of {kind}: after training the loss on validation is "
            f"{reached:.3g}; a constant prediction costs {constant:.3g}. Is the gradient of the "
            f"prediction's own loss in what it trains with?"
        )


def _loss(scores: Tensor, split: Split, kind: Any) -> float:
    """What is left to gain; of retrieval, which has no loss per row, by the mean recall."""
    if kind == "retrieval":
        return 1 - MeanRecall()(scores, split.target)
    return float(supervised_loss(kind, scores, split.target).mean())


def _constant(train: Split, val: Split, kind: Any) -> Tensor:
    """The best prediction that looks at nothing, for every row of ``val``."""
    if kind == "classification":
        row = train.target.bincount().float().div(len(train)).log()
    elif kind == "multilabel":
        row = train.target.float().mean(0).logit()
    elif kind == "sequence":
        row = commonest_tokens(train.target, N_OUTPUTS)
    elif kind == "retrieval":
        row = torch.zeros(2)
    else:
        row = train.target.mean(0)
    return row.expand(len(val), -1)


def training_is_repeatable(cls: type[Objective], **params: Any) -> None:
    """One seed gives one model, to the last bit."""
    for kind in sorted(cls.targets):
        one = _run(cls, kind, params, SHORT).started.model.state_dict()
        other = _after(Practice(cls, kind, params, train=SHORT))
        for (name, a), b in zip(one.items(), other.values(), strict=True):
            assert torch.equal(a, b), (
                f"objective {cls.name!r} of {kind}: two trainings with one seed differ in {name}. "
                f"Draw random numbers from torch's global generator, and keep nothing in globals."
            )


def a_step_sets_no_random_state(cls: type[Objective], **params: Any) -> None:
    """Each batch draws its own dropout, by the trial's seed: no step sets the random state."""
    for kind in sorted(cls.targets):
        drawn = [_drawn_after_an_epoch(Practice(cls, kind, params, train=SHORT), n) for n in (1, 2)]
        assert drawn[0] != drawn[1], (
            f"objective {cls.name!r} of {kind}: `rows`, `loss` or `step` sets torch's random "
            f"state, so that every batch draws the same dropout, whatever the seed. Leave "
            f"torch.manual_seed alone; what is always to be the same is drawn with "
            f"generator=torch.Generator().manual_seed(0)."
        )


def _drawn_after_an_epoch(practice: Practice, seed: int) -> float:
    """What torch draws next after an epoch that began with this random state."""
    started = practice.start()
    model, trainer = started.model, started.trainer
    trainer.objective.begin(model, started.course)
    trainer.objective.begin_epoch(0, model, started.course)
    optimizer = trainer.optimizer(model, spared=trainer.objective)
    torch.manual_seed(seed)
    rows = trainer.objective.rows(torch.arange(len(started.train)), torch.Generator())
    trainer.train_epoch(model, started.train, rows, optimizer, 0, 2)
    return float(torch.rand(()))


def training_moves_every_part(cls: type[Objective], **params: Any) -> None:
    """Every trainable parameter of the model and of the objective has left its place."""
    for kind in sorted(cls.targets):
        run = _run(cls, kind, params, BRIEF)
        for name, value in _parameters(run.started).items():
            before = run.parameters.get(name)
            assert before is None or not torch.equal(value, before), (
                f"objective {cls.name!r} of {kind}: {name} is where it was before training."
            )


def _parameters(started: Started) -> dict[str, Tensor]:
    modules = {"model": started.model, "objective": started.trainer.objective}
    return {
        f"{kind}.{name}": parameter.detach().clone()
        for kind, module in modules.items()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }


def training_takes_what_tasks_bring(cls: type[Objective], **params: Any) -> None:
    """Missing modalities, frozen encoders, one modality alone: the model stays finite."""
    cases: dict[str, dict[str, Any]] = {
        "a modality missing in half of the rows": {"missing": 0.5},
        "a modality missing in all rows": {"missing": 1.1},
        "frozen encoders": {"encoder": "vector"},
    }
    alone = {"one modality alone": {"modalities": ("a",), "params": {}}}
    for kind in sorted(cls.targets):
        more = alone if "fusion" not in cls.requires and kind in FUSED_TARGETS else {}
        for case, settings in (cases | more).items():
            state = _after(Practice(cls, kind, **{"params": params, "train": SHORT, **settings}))
            for name, tensor in state.items():
                assert tensor.isfinite().all(), (
                    f"objective {cls.name!r} of {kind}, {case}: {name} is not finite after "
                    f"training. Divide by a count clamped to at least 1; keep roots off zero."
                )


def every_searched_parameter_matters(cls: type[Objective], **params: Any) -> None:
    """No parameter that is searched may have any value: what a training learns changes with it."""
    assert_all_matter(cls, params, cls.name, partial(_epoch_by_epoch, cls))


def _epoch_by_epoch(cls: type[Objective], **params: Any) -> Iterator[Tensor]:
    """The model's weights after each epoch of trainings on noisy data, missing some values."""
    for kind in sorted(cls.targets):
        started = Practice(cls, kind, params, train=UNSOLVED, missing=0.3, noise=1.0).start()
        learnt: list[Tensor] = []
        started.fit(partial(_keep, list(started.model.parameters()), learnt))
        yield from learnt


def _keep(weights: list[nn.Parameter], learnt: list[Tensor], *_: Any) -> None:
    learnt.extend(weight.detach().clone() for weight in weights)


def _after(practice: Practice) -> dict[str, Tensor]:
    started = practice.start()
    started.fit()
    return started.model.state_dict()


def training_leaves_the_data_alone(cls: type[Objective], **params: Any) -> None:
    """Features and targets are read, never written."""
    for kind in sorted(cls.targets):
        run = _run(cls, kind, params, SHORT)
        for old, new in zip(run.data, _tensors(run.started.train), strict=True):
            assert torch.equal(old, new), f"objective {cls.name!r} of {kind} changes its data."


def _tensors(split: Split) -> Iterator[Tensor]:
    yield split.target
    for column in split.columns.values():
        yield from _values(column)


def _values(column: Column) -> Iterator[Tensor]:
    if isinstance(column.values, Tensor):
        yield column.values


def training_checks() -> tuple[Check, ...]:
    """Promises of a whole training, for the kit of objectives."""
    checks = (
        training_solves_the_task,
        training_is_repeatable,
        a_step_sets_no_random_state,
        training_moves_every_part,
        training_takes_what_tasks_bring,
        training_leaves_the_data_alone,
        every_searched_parameter_matters,
    )
    return tuple(promise(check) for check in checks)
