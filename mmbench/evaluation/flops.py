"""How many floating point operations one sample takes."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from mmbench.model import FusionModel
from mmbench.types import Column, Encoded, Split

aten = torch.ops.aten
OF_VECTORS: dict[Any, Callable[..., int]] = {
    aten.mv: lambda matrix, _: 2 * matrix.numel(),
    aten.addmv: lambda _, matrix, __: 2 * matrix.numel(),
    aten.dot: lambda one, _: 2 * one.numel(),
    aten._trilinear: lambda one, weight, *_: 2 * len(one) * weight.numel(),
}
"""Products that PyTorch's formulas lack: ``tokens @ vector``, and ``nn.Bilinear`` as one sum."""


def flops(model: FusionModel, requests: Split) -> int:
    """Operations of one forward pass at batch 1, of a sample that misses no modality."""
    device = next(model.parameters(), torch.empty(0)).device
    columns = {m: column.rows(first_present(column)) for m, column in requests.columns.items()}
    batch = Split(columns, requests.target[:1]).to(device)
    return operations(model, lambda: model(batch))


def first_present(of: Column | Encoded) -> Tensor:
    """(1,) the first row that does not miss the modality; the first if all do."""
    return of.present.int().argmax().reshape(1)


def operations(model: FusionModel, run: Callable[[], object]) -> int:
    """Operations of ``run``, which asks something of ``model``, in evaluation mode.

    A multiplication and an addition count as two. Matrix products, convolutions and attention, by
    the formulas of ``torch.utils.flop_counter``, and by ``OF_VECTORS``; elementwise operations are
    not counted. Fused kernels that neither knows (LSTM, transformer layers, attention on a CPU) are
    replaced by the plain operations that they stand for.
    """
    was_training, fast = model.training, torch.backends.mha.get_fastpath_enabled()
    counter = _Counter()
    model.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # oneDNN's flags speak of Intel GPUs
            torch.no_grad(),
            torch.backends.mkldnn.flags(enabled=False),
            torch.backends.cudnn.flags(enabled=False),
            sdpa_kernel(SDPBackend.MATH),
            counter,
        ):
            run()
    finally:
        model.train(was_training)
        torch.backends.mha.set_fastpath_enabled(fast)
    return counter.total


class _Counter(TorchDispatchMode):
    """``FlopCounterMode`` without its table by module, and without importing the compiler (5 s)."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        result = func(*args, **given)
        kind = func._overloadpacket
        if kind in OF_VECTORS:
            self.total += OF_VECTORS[kind](*args)
        elif kind in flop_registry:
            self.total += int(flop_registry[kind](*args, **given, out_val=result))
        return result
