"""What encoders learn from a training column of numbers: which values there are, their scale."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.types import MISSING, Column, Encoded

SAMPLE = 256
"""Images and series are measured on at most this many values, spread evenly over the column."""


def used_values(train: Column) -> Tensor:
    """(values,) which values the rows refer to: a column may share its values with other parts."""
    index = train.value_of_row
    used: Tensor = index[index != MISSING].unique()
    return used


def number_sample(train: Column, limit: int | None = None) -> Tensor:
    """At most ``limit`` of the values used, evenly spread; a lazy column is decoded only there."""
    if isinstance(train.values, tuple | Encoded):
        raise TypeError(f"Expected tensors, got a column of {type(train.values).__name__}.")
    used = used_values(train)
    if limit is not None and len(used) > limit:
        used = used[torch.linspace(0, len(used) - 1, limit).long()]
    return train.values[used]


def scale(values: Tensor, feature_dim: int) -> dict[str, list[float]]:
    """Mean and standard deviation of each feature; NaN (an empty cell) does not count."""
    flat = values.movedim(feature_dim, -1).reshape(-1, values.shape[feature_dim]).double()
    mean = flat.nanmean(0).nan_to_num()
    std = (flat - mean).square().nanmean(0).sqrt().nan_to_num()
    constant = std <= 1e-6 * mean.abs() + 1e-12
    return {"mean": mean.tolist(), "std": std.masked_fill(constant, 1.0).tolist()}


class Standardise(nn.Module):
    """Zero mean and unit variance for each feature, as measured on the training column."""

    mean: Tensor
    std: Tensor

    def __init__(self, fitted: Mapping[str, Any], trailing: int = 0) -> None:
        """``trailing``: how many dimensions follow the feature dimension (2 for images)."""
        super().__init__()
        shape = (-1, *(1,) * trailing)
        self.register_buffer("mean", torch.tensor(fitted["mean"]).reshape(shape))
        self.register_buffer("std", torch.tensor(fitted["std"]).reshape(shape))

    def forward(self, inputs: Tensor) -> Tensor:
        return (inputs.to(self.mean.dtype) - self.mean) / self.std
