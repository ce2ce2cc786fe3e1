"""The promise that a component computes its formula, against one its author wrote slowly.

What a name claims no kit can know: that a rule is Dempster's, that confidences weight what they are
said to. An author writes the formula a second time, plainly, and the kit compares.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from mmbench.testing.subject import Check, Subject, cast, lifted

Reference = Callable[..., Any]
"""Takes the component and what it is called with; gives what it should give."""


def computes(reference: Reference, subjects: Callable[..., Iterator[Subject]]) -> Check:
    """The promise to give what ``reference`` gives, for all subjects."""

    def it_computes_its_formula(subject: Subject) -> None:
        """In double precision and with random weights it gives what its reference gives."""
        module = subject.build().eval().double()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(0.5 * torch.randn_like(parameter))
        inputs = cast(subject.inputs, torch.float64)
        got = subject.call(module, inputs)
        expected = subject.call(partial(reference, module), inputs)
        for ours, theirs in zip(got, expected, strict=False):
            assert ours.shape == theirs.shape, (
                f"{subject.what}: it gives {tuple(ours.shape)}, its reference "
                f"{tuple(theirs.shape)}."
            )
            far = (ours - theirs).abs().max().item()
            assert torch.allclose(ours, theirs.to(ours.dtype), rtol=1e-5, atol=1e-7), (
                f"{subject.what}: it is up to {far:.3g} away from its reference formula. Work a "
                f"small example by hand: one of the two is not what the paper says."
            )

    return lifted(it_computes_its_formula, subjects)
