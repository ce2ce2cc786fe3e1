"""What every head promises. Authors call ``check_head(MyHead)`` in one test."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from mmbench.contracts import Head
from mmbench.testing import promises
from mmbench.testing.promises import Check, Inputs, Subject, corners, lifted, promise
from mmbench.testing.reference import Reference, computes


def check_head(cls: type[Head], **params: Any) -> None:
    """Raise AssertionError, saying which promise is broken and how to mend it."""
    for check in head_checks():
        check(cls, **params)


def _subjects(cls: type[Head], **params: Any) -> Iterator[Subject]:
    """A wide fused vector with several outputs; a single number with a single output."""
    for in_dim, n_outputs in ((12, 3), (1, 1)):
        yield Subject(
            f"head {cls.name!r} from {in_dim} to {n_outputs}",
            lambda sizes=(in_dim, n_outputs): cls(*sizes, **params),  # type: ignore[misc]
            {"fused": torch.randn(4, in_dim)},
            _call,
        )


def _call(head: Callable[..., Tensor], inputs: Inputs) -> tuple[Tensor, ...]:
    return (head(inputs["fused"]),)


def output_has_one_number_per_output(cls: type[Head], **params: Any) -> None:
    """(batch, in_dim) becomes (batch, n_outputs), at every end of the search space."""
    for given in ({}, *corners(cls, params, cls.name)):
        for case in _subjects(cls, **{**params, **given}):
            head = case.build().eval()
            shape = tuple(case.call(head, case.inputs)[0].shape)
            assert shape == (4, head.n_outputs), (
                f"{case.what}: for a batch of 4 the output must be {(4, head.n_outputs)}, but is "
                f"{shape}. Keep the last axis even if there is one output."
            )


def its_input_is_used(cls: type[Head], **params: Any) -> None:
    """The output changes with the fused vector."""
    for case in _subjects(cls, **params):
        fused = case.inputs["fused"].clone().requires_grad_()
        promises.projected(case.call(case.build().eval(), {"fused": fused})).backward()
        used = fused.grad is not None and bool(fused.grad.abs().max() > 0)
        assert used, f"{case.what}: it ignores the fused vector."


def _vmap_subjects(cls: type[Head], **params: Any) -> Iterator[Subject]:
    if cls.batched:
        yield from _subjects(cls, **params)


def head_checks(reference: Reference | None = None) -> tuple[Check, ...]:
    """All promises of a head, to parametrise a test: each takes the class and its parameters.

    ``reference(head, fused)`` is its formula, written slowly; it adds a promise.
    """
    shared = (
        promises.every_tensor_is_registered,
        promises.eval_is_deterministic,
        promises.samples_do_not_see_each_other,
        promises.every_parameter_gets_a_gradient,
        promises.state_dict_restores_the_output,
        promises.forward_keeps_no_state,
        promises.inputs_are_never_modified,
        promises.degenerate_inputs_stay_finite,
        promises.it_moves_between_precisions_and_devices,
    )
    return (
        promise(output_has_one_number_per_output),
        promise(its_input_is_used),
        *(lifted(check, _subjects) for check in shared),
        lifted(promises.members_train_together_under_vmap, _vmap_subjects),
        *([computes(reference, _subjects)] if reference else ()),
    )
