"""What every head promises. Authors call ``check_head(MyHead)`` in one test."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mmbench.contracts import Decoder, Head
from mmbench.sequences import by_place, said
from mmbench.testing import promises
from mmbench.testing.reference import Reference, computes
from mmbench.testing.searched import assert_all_matter, from_one_seed, settings
from mmbench.testing.subject import (
    Check,
    Inputs,
    Subject,
    cast,
    close,
    lifted,
    projected,
    promise,
)
from mmbench.testing.weights import assert_none_idle, unsearched

VECTORS = ((12, 3), (1, 1))
"""From how many numbers to how many outputs."""
SEQUENCES = ((12, 6, 3), (1, 6, 2))
"""The same, and in how many places."""

BATCH = 64
"""Enough rows that no unit is silent for all of them."""


def check_head(cls: type[Head], **params: Any) -> None:
    """Raise AssertionError, saying which promise is broken and how to mend it."""
    for check in head_checks():
        check(cls, **params)


def _subjects(cls: type[Head], **params: Any) -> Iterator[Subject]:
    """A wide fused vector with several outputs; a single number with a single output.

    A decoder says three places of two tokens, or two of three, by itself and told what is right.
    """
    for in_dim, n_outputs, *length in SEQUENCES if issubclass(cls, Decoder) else VECTORS:
        what = f"head {cls.name!r} from {in_dim} to {n_outputs}"
        build = partial(cls, in_dim, n_outputs, *length, **params)
        inputs = {"fused": torch.randn(4, in_dim)}
        yield Subject(what, build, inputs, _call)
        for places in length:
            target = torch.randint(n_outputs // places, (4, places))
            yield Subject(f"{what}, told the target", build, {**inputs, "target": target}, _call)


def _call(head: Callable[..., Tensor], inputs: Inputs) -> tuple[Tensor, ...]:
    return (head(*inputs.values()),)


def output_has_one_number_per_output(cls: type[Head], **params: Any) -> None:
    """(batch, in_dim) becomes (batch, n_outputs), at every end of the search space."""
    for given in settings(cls, params, cls.name):
        for case in _subjects(cls, **given):
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
        projected(case.call(case.build().eval(), {"fused": fused})).backward()
        used = fused.grad is not None and bool(fused.grad.abs().max() > 0)
        assert used, f"{case.what}: it ignores the fused vector."


def every_weight_matters(cls: type[Head], **params: Any) -> None:
    """No trained matrix, nor most of its rows, is without influence whatever the input."""
    cases = _subjects(cls, **unsearched(cls, params))
    *_, case = [case for case in cases if case.inputs["fused"].shape[1] > 1]
    inputs = {k: v.repeat(BATCH // len(v), 1) for k, v in case.inputs.items()}
    inputs["fused"] = torch.randn_like(inputs["fused"])
    assert_none_idle(case, case.build().train().double(), cast(inputs, torch.float64))


def every_searched_parameter_matters(cls: type[Head], **params: Any) -> None:
    """No parameter that is searched may have any value: outputs or gradients change with it."""
    assert_all_matter(cls, params, cls.name, from_one_seed(partial(_subjects, cls)))


def a_place_depends_on_those_before_it(cls: type[Head], **params: Any) -> None:
    """A decoder that is told the target reads at each place the tokens before it, and no other."""
    for case in _subjects(cls, **params):
        if (target := case.inputs.get("target")) is None:
            continue
        head, length = case.build().eval(), target.shape[1]
        told = by_place(case.call(head, case.inputs)[0], length)
        for place in range(length):
            other = target.clone()
            other[:, place] = (target[:, place] + 1) % head.n_tokens
            changed = by_place(case.call(head, {**case.inputs, "target": other})[0], length)
            assert torch.allclose(told[:, : place + 1], changed[:, : place + 1], atol=1e-5), (
                f"{case.what}: what it says up to place {place} depends on the target there. Shift "
                f"the target by one place, or mask what comes later."
            )
            last = place + 1 == length
            assert last or not torch.allclose(told[:, place + 1], changed[:, place + 1]), (
                f"{case.what}: at place {place + 1} it does not hear what was said before."
            )


def what_it_says_alone_is_what_it_says_when_told_so(cls: type[Head], **params: Any) -> None:
    """A decoder that is told what it says by itself says the same: it trains what it will do."""
    for case in _subjects(cls, **params):
        if "target" in case.inputs:
            head, fused = case.build().eval(), case.inputs["fused"]
            alone = head(fused)
            told = head(fused, said(alone, head.length))
            assert close((alone,), (told,)), (
                f"{case.what}: told its own tokens it gives other scores than by itself. Say the "
                f"likeliest token at each place, and go on from it as from a target."
            )


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
        promises.random_state_is_not_set,
        promises.samples_do_not_see_each_other,
        promises.training_does_not_mix_samples,
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
        promise(every_weight_matters),
        promise(every_searched_parameter_matters),
        promise(a_place_depends_on_those_before_it),
        promise(what_it_says_alone_is_what_it_says_when_told_so),
        *(lifted(check, _subjects) for check in shared),
        lifted(promises.members_train_together_under_vmap, _vmap_subjects),
        *([computes(reference, _subjects)] if reference else ()),
    )
