"""Which item each side of a pair shows: the target of a retrieval task."""

import torch
from torch import Tensor

from mmbench.types import Column


def pairs(one: Column, other: Column) -> Tensor:
    """(rows, 2) int64: rows have the same item of a side where they have the same value of it."""
    return torch.stack([_items(one), _items(other)], dim=1)


def _items(column: Column) -> Tensor:
    values = column.values
    if isinstance(values, Tensor):
        item: Tensor = values.flatten(1).unique(dim=0, return_inverse=True)[1]
    elif isinstance(values, tuple):
        place = {value: i for i, value in enumerate(dict.fromkeys(values))}
        item = torch.tensor([place[value] for value in values])
    else:
        raise TypeError("Items are told apart by values in memory.")
    return item if column.index is None else item[column.index]
