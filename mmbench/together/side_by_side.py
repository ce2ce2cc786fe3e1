"""``torch.func.vmap`` by its parts: tensors of all members, seen by the code of one.

``vmap`` itself would take a third of a small step (it looks through nested arguments) and a second
or two at its first call (it imports torch's compiler). What is left is what it does in between:
open a level, mark the first axis of each tensor as that of the members, close the level.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor
from torch._C import _functorch


@contextmanager
def side_by_side(members: int) -> Iterator[None]:
    """Inside, tensors that were ``spread`` are those of one member. Not to be nested.

    Torch's own random numbers are refused, for they would be drawn in an order of their own.
    Gradients written by hand take the tensors of all members, as ``kernels`` gives them.
    """
    _functorch._vmap_increment_nesting(members, "error")
    allowed = _functorch.get_single_level_autograd_function_allowed()
    _functorch.set_single_level_autograd_function_allowed(True)
    try:
        yield
    finally:
        _functorch.set_single_level_autograd_function_allowed(allowed)
        _functorch._vmap_decrement_nesting()


def spread(tensor: Tensor) -> Tensor:
    """(members, …) as (…) of each member."""
    return _functorch._add_batch_dim(tensor, 0, _functorch.current_level())


def gathered(tensor: Tensor, members: int) -> Tensor:
    """The reverse of ``spread``; what all members share is repeated, without a copy."""
    axis = axis_of(tensor)
    whole = _functorch.get_unwrapped(tensor) if axis is not None else tensor
    return whole.expand(members, *whole.shape) if axis is None else whole.movedim(axis, 0)


def axis_of(tensor: Tensor) -> int | None:
    """Where the members are in what is in memory; None if they share the tensor."""
    if not _functorch.is_batchedtensor(tensor):
        return None
    return _functorch.maybe_get_bdim(tensor)


def by_hand() -> AbstractContextManager[object]:
    """Inside, random numbers may be drawn for one member after the other."""
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.FuncTorchVmapMode)
    return torch._C._ExcludeDispatchKeyGuard(keys)
