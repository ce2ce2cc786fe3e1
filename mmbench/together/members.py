"""What the code of one member calls, done for all members at once.

Most of torch's functions are batched by torch itself. Entered as a context, this handles those that
draw random numbers, each member from a stream of its own, and those that torch batches badly. A
module needs to know nothing of it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from mmbench.together import draws, kernels


class Members(TorchFunctionMode):
    """To be entered inside ``side_by_side``; ``generators``: one for each member."""

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.generators = list(generators)

    def __torch_function__(
        self,
        func: Any,
        _types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in DRAWS:
            return DRAWS[func](self.generators, *args, **(kwargs or {}))
        if func in KERNELS:
            return KERNELS[func](len(self.generators), *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


DRAWS: dict[Any, Callable[..., Tensor]] = {
    F.dropout: draws.dropout,
    torch.rand: draws.rand,
    torch.rand_like: draws.rand_like,
    torch.randn_like: draws.randn_like,
}
KERNELS: dict[Any, Callable[..., Tensor]] = {
    F.linear: kernels.linear,
    F.layer_norm: kernels.layer_norm,
    torch.prod: kernels.prod,
    Tensor.prod: kernels.prod,
    torch.where: kernels.where,
    F.cross_entropy: kernels.cross_entropy,
    F.scaled_dot_product_attention: kernels.attention,
}
