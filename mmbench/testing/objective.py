"""What every objective promises. Authors call ``check_objective(MyObjective)`` in one test."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mmbench.contracts import Objective, Outputs
from mmbench.testing import promises
from mmbench.testing.practice import DIM, LENGTH, MODALITIES, N_OUTPUTS, Practice, installed
from mmbench.testing.reference import Reference, computes
from mmbench.testing.searched import settings
from mmbench.testing.subject import Check, Inputs, Subject, close, lifted, promise
from mmbench.testing.training import training_checks
from mmbench.types import Encoded, TargetKind, Task

ROWS = 6


def check_objective(cls: type[Objective], **params: Any) -> None:
    """Raise AssertionError, saying which promise is broken and how to mend it."""
    for check in objective_checks():
        check(cls, **params)


def _subjects(cls: type[Objective], **params: Any) -> Iterator[Subject]:
    """One for each kind of target it takes; the second modality is missing in two rows."""
    for kind in sorted(cls.targets):
        yield Subject(
            f"objective {cls.name!r} of {kind}",
            lambda kind=kind: _begun(cls, kind, params),  # type: ignore[misc]
            _inputs(cls, kind, _begun(cls, kind, params).fused_dim),
            _call,
        )


def _begun(cls: type[Objective], kind: TargetKind, params: Mapping[str, Any]) -> Objective:
    """One that has seen its data, as it is before the first step; fresh weights at every call."""
    seed = int(torch.randint(2**31, ()))
    practice = Practice(cls, kind, dict(params), encoder="vector", seed=seed).start()
    objective, course = practice.trainer.objective, practice.course
    objective.begin(practice.model, course)
    objective.begin_epoch(0, practice.model, course)
    return objective


def _inputs(cls: type[Objective], kind: TargetKind, fused_dim: int) -> dict[str, Tensor]:
    sizes = {"retrieval": 2 * N_OUTPUTS, "sequence": LENGTH * N_OUTPUTS}
    width = sizes.get(kind, N_OUTPUTS)
    named = {"scores": torch.randn(ROWS, width), "fused": torch.randn(ROWS, fused_dim)}
    for m in MODALITIES:
        named[f"{m}.feature"] = torch.randn(ROWS, DIM)
        named[f"{m}.present"] = torch.ones(ROWS, dtype=torch.bool)
        if cls.needs_unimodal:
            named[f"{m}.scores"] = torch.randn(ROWS, width)
    named["b.present"][:2] = False
    named["target"] = _target(kind)
    return named


def _target(kind: TargetKind) -> Tensor:
    if kind == "classification":
        return torch.arange(ROWS) % N_OUTPUTS
    if kind == "multilabel":
        return torch.arange(ROWS * N_OUTPUTS).reshape(ROWS, N_OUTPUTS) % 2
    if kind == "sequence":
        return torch.stack([torch.arange(ROWS) % 2 + 1, torch.arange(ROWS) % N_OUTPUTS], dim=1)
    if kind == "retrieval":
        return torch.arange(ROWS).unsqueeze(1).expand(-1, 2).contiguous()
    return torch.randn(ROWS, N_OUTPUTS)


def _call(objective: Callable[..., Tensor], inputs: Inputs) -> tuple[Tensor, ...]:
    unimodal = {m: inputs[f"{m}.scores"] for m in MODALITIES if f"{m}.scores" in inputs}
    features = {
        m: Encoded.vector(inputs[f"{m}.feature"], inputs[f"{m}.present"]) for m in MODALITIES
    }
    outputs = Outputs(inputs["scores"], inputs["fused"], unimodal, features)
    return (objective(outputs, inputs["target"]),)


def loss_is_a_finite_scalar(cls: type[Objective], **params: Any) -> None:
    """One number for a batch of any size, with a modality missing in some rows or in all.

    So it is with its defaults, and at every end of the search space.
    """
    for given in settings(cls, params, cls.name):
        for case in _subjects(cls, **given):
            objective = case.build()
            for inputs in (case.inputs, _rows(case.inputs, slice(0, 1)), _all_missing(case.inputs)):
                loss = case.call(objective, inputs)[0]
                assert loss.shape == () and loss.isfinite(), (
                    f"{case.what}: the loss must be a finite scalar, but is {loss} with {given}. "
                    f"Take the mean over the batch; divide by a count clamped to at least 1."
                )


def _rows(inputs: Inputs, rows: slice | Tensor) -> dict[str, Tensor]:
    return {k: v[rows] for k, v in inputs.items()}


def _all_missing(inputs: Inputs) -> Mapping[str, Tensor]:
    return {**inputs, "b.present": torch.zeros(ROWS, dtype=torch.bool)}


def loss_does_not_depend_on_row_order(cls: type[Objective], **params: Any) -> None:
    """Batches are shuffled: their order carries no information."""
    for case in _subjects(cls, **params):
        objective = case.build().eval()
        shuffled = _rows(case.inputs, torch.tensor([3, 1, 5, 0, 4, 2]))
        same = close(case.call(objective, case.inputs), case.call(objective, shuffled))
        assert same, f"{case.what}: the order of the rows in a batch changes the loss."


def loss_trains_every_head(cls: type[Objective], **params: Any) -> None:
    """Its gradient reaches each modality's scores if it needs them, and the fused ones.

    Where it is defined with fusions of decisions, those are made of each modality's.
    """
    for case in _subjects(cls, **params):
        read = [k for k in case.inputs if k.endswith(".scores")]
        if not (read and _decides(cls)):
            read.append("scores")  # of a decision-level fusion they are made of the others
        given = {k: v.clone().requires_grad_(k in read) for k, v in case.inputs.items()}
        case.call(case.build(), given)[0].backward()
        for key in read:
            slope = given[key].grad
            assert slope is not None and slope.abs().max() > 0, (
                f"{case.what}: no gradient reaches {key!r}. Add its loss, or set needs_unimodal to "
                f"False if it reads no unimodal outputs."
            )


def _decides(cls: type[Objective]) -> bool:
    fusions = installed().fusions
    required = cls.requires.get("fusion", ())
    return bool(required) and all(
        fusions[name].capabilities.level == "decision" for name in required
    )


def better_predictions_lower_the_loss(cls: type[Objective], **params: Any) -> None:
    """Following the loss downhill from any scores leads to the target."""
    for case in _subjects(cls, **params):
        objective = case.build().eval()
        right, wrong = (_predicting(case.inputs, objective.task, sign) for sign in (1.0, -1.0))
        low, high = (case.call(objective, inputs)[0] for inputs in (right, wrong))
        assert low < high, (
            f"{case.what}: perfect predictions cost {low:.3g}, wrong ones {high:.3g}."
        )


def _predicting(inputs: Inputs, task: Task, sign: float) -> dict[str, Tensor]:
    """Scores that say the target (sign 1) or its opposite (sign −1)."""
    target = inputs["target"]
    if task.target == "retrieval":
        side = torch.nn.functional.normalize(inputs["scores"][:, :N_OUTPUTS], dim=-1)
        scores = torch.cat([side, sign * side], dim=1)
    elif target.is_floating_point():
        scores = sign * target
    elif task.target == "sequence":
        scores = sign * 10 * torch.nn.functional.one_hot(target, N_OUTPUTS).flatten(1)
    elif target.ndim == 1:
        scores = sign * 10 * torch.nn.functional.one_hot(target, N_OUTPUTS)
    else:
        scores = sign * (20.0 * target - 10)
    return {k: scores.float() if k.endswith("scores") else v for k, v in inputs.items()}


def random_state_is_not_set(cls: type[Objective], **params: Any) -> None:
    """What is drawn after it depends on the trial's seed still: it sets no random state."""
    for case in _subjects(cls, **params):

        def build(case: Subject = case) -> Objective:
            objective: Objective = case.build()  # in a stream of its own, so once more outside it
            cls(objective.task, objective.dims, objective.fused_dim, **params)
            return objective

        promises.random_state_is_not_set(replace(case, build=build))


def members_train_together(cls: type[Objective], **params: Any) -> None:
    """K objectives run as one under ``torch.func.vmap``, where it says that they can."""
    if cls.batched:
        for case in _subjects(cls, **params):
            promises.members_train_together_under_vmap(case)


def objective_checks(reference: Reference | None = None) -> tuple[Check, ...]:
    """All promises of an objective, to parametrise a test: each takes the class and parameters.

    ``reference(objective, outputs, target)`` is its formula, written slowly; it adds a promise.
    """
    own = (
        loss_is_a_finite_scalar,
        loss_does_not_depend_on_row_order,
        loss_trains_every_head,
        better_predictions_lower_the_loss,
        random_state_is_not_set,
        members_train_together,
    )
    shared = (
        promises.every_tensor_is_registered,
        promises.eval_is_deterministic,
        promises.inputs_are_never_modified,
        promises.degenerate_inputs_stay_finite,
    )
    return (
        *(promise(check) for check in own),
        *(lifted(check, _subjects) for check in shared),
        *([computes(reference, _subjects)] if reference else ()),
        *training_checks(),
    )
