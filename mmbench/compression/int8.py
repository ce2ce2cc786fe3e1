"""Dynamic int8 quantisation of linear layers.

Each output of a layer has a scale for its weights, each row of the input one for its values, found
when it comes; the product is of whole numbers (Dettmers, Lewis, Belkada & Zettlemoyer, "LLM.int8():
8-bit Matrix Multiplication for Transformers at Scale", NeurIPS 2022, without its outliers).

Why not a library: ``torch.ao.quantization`` is deprecated, and torchao, which follows it, uses the
same product, but needs ``torch.compile``: without it a layer of 64 × 64 takes 200 µs instead of 28.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LARGEST = 127
SMALLEST_SCALE = 1e-12
"""A row of zeros has some scale, too."""


class Int8Linear(nn.Module):
    """(…, in_features) to (…, out_features) in float32, as the linear layer that it stands for."""

    values: Tensor  # (out_features, in_features) int8
    scales: Tensor  # (out_features,)
    bias: Tensor | None  # (out_features,)

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        values, scales = rounded(linear.weight.detach().float())
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.register_buffer("values", values)
        self.register_buffer("scales", scales.squeeze(1))
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().float())

    @property
    def weight(self) -> Tensor:
        """In float32, for modules that read a layer's weight instead of calling it."""
        return self.values * self.scales.unsqueeze(1)

    def forward(self, inputs: Tensor) -> Tensor:
        rows, scales = rounded(inputs.float().reshape(-1, self.in_features))
        found = self._product(rows) * scales * self.scales
        found = found if self.bias is None else found + self.bias
        return found.reshape(*inputs.shape[:-1], self.out_features)

    def _product(self, rows: Tensor) -> Tensor:
        if rows.device.type == "cpu":
            return torch._int_mm(rows, self.values.t()).float()
        return F.linear(rows.float(), self.values.float())  # the same sums, in floating point


def rounded(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (n, width) as whole numbers from -127 to 127, and the scale (n, 1) of each."""
    scales = (rows.abs().amax(1, keepdim=True) / LARGEST).clamp(min=SMALLEST_SCALE)
    return (rows / scales).round().to(torch.int8), scales


def use_int8(model: nn.Module) -> None:
    """Put an ``Int8Linear`` in the place of each linear layer of ``model``.

    Subclasses of ``nn.Linear`` stay: they do something else with their weights.
    """
    made: dict[int, Int8Linear] = {}  # a layer that stands in two places still does afterwards
    for name, layer in list(model.named_modules(remove_duplicate=False)):
        if type(layer) is nn.Linear:
            model.set_submodule(name, made.setdefault(id(layer), Int8Linear(layer)))
