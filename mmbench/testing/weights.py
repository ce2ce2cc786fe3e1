"""That every trained matrix has influence: what fusions, heads and encoders promise alike."""

from typing import Any

import torch
from torch import Tensor, nn

from mmbench.space import params_of
from mmbench.testing.subject import Inputs, Subject, projected

ROUNDING = 1e-12


def unsearched(cls: type, params: dict[str, Any]) -> dict[str, Any]:
    """Those given that no search varies: what is searched may switch a part off."""
    searched = {param.name for param in params_of(cls) if param.domain}
    return {name: value for name, value in params.items() if name not in searched}


def idle_weights(
    case: Subject, module: nn.Module, inputs: Inputs, *, most: float = 0.5
) -> list[str]:
    """The trained matrices of which more than ``most`` rows have no influence on any output.

    Vectors are let off: the bias of an attention's keys cancels in its softmax, as it should.
    """
    matrices = {n: p for n, p in module.named_parameters() if p.requires_grad and p.ndim > 1}
    if not matrices:
        return []
    moved_from_where_they_begin(module)
    projected(case.call(module, inputs)).backward()
    return [n for n, p in matrices.items() if p.grad is None or _idle_share(p.grad) > most]


@torch.no_grad()
def moved_from_where_they_begin(module: nn.Module) -> None:
    """Add a little noise to all weights: nothing is idle for what begins at zero, or stays."""
    for parameter in module.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))


def assert_none_idle(
    case: Subject, module: nn.Module, inputs: Inputs, *, most: float = 0.5
) -> None:
    """Of a component that attends to nothing but what it is given."""
    idle = idle_weights(case, module, inputs, most=most)
    assert not idle, (
        f"{case.what}: {', '.join(idle)} never changes the output. A softmax over one key is "
        f"always 1, whatever its query. Use it, or leave it out."
    )


def _idle_share(gradient: Tensor) -> float:
    """How many of its rows are zero but for rounding: queries, keys and values may share one."""
    return float((gradient.flatten(1).abs().amax(1) < ROUNDING).double().mean())
