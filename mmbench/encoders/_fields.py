"""Which columns of a table belong together: a number by itself, a category as its places.

A table reaches an encoder as one vector per row, with a place of 0 or 1 for each category of a
field (``mmbench.tables.fields``). Which places make one field shows in the training rows.
"""

from typing import Any

import torch
from torch import Tensor, nn

from mmbench.contracts import Fitted
from mmbench.encoders._training_column import number_sample
from mmbench.encoders.tabular import Vector
from mmbench.types import Column


def fields(values: Tensor) -> list[list[int]]:
    """The columns of each field of (rows, columns).

    Neighbours are one field as long as they hold 0 and 1 alone and no row has two of them at 1.
    """
    hot = ((values == 0) | (values == 1)).all(0).tolist()
    found: list[list[int]] = []
    taken = torch.zeros(len(values), dtype=torch.bool)
    for column, is_hot in enumerate(hot):
        ones = values[:, column] == 1
        if is_hot and found and hot[column - 1] and not (taken & ones).any():
            found[-1].append(column)
            taken = taken | ones
        else:
            found.append([column])
            taken = ones
    return found


class FieldEncoder(Vector):
    """Reads (rows, columns) and knows its fields: ``numbers`` are one column, others are places."""

    frozen = False

    def __init__(self, fitted: Fitted) -> None:
        super().__init__(fitted)
        self.fields: list[list[int]] = fitted["fields"]
        self.numbers = [field[0] for field in self.fields if len(field) == 1]
        self.places = [column for field in self.fields if len(field) > 1 for column in field]
        is_number = torch.zeros(self.out_dim, dtype=torch.bool)
        is_number[self.numbers] = True
        self.register_buffer("is_number", is_number, persistent=False)
        self.is_number: Tensor

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """Each column's mean and standard deviation, and which columns are one field."""
        fitted: dict[str, Any] = dict(super().fit(train))
        return fitted | {"fields": fields(number_sample(train))}

    def cells(self, inputs: Tensor) -> Tensor:
        """Numbers standardised, with the mean for an empty cell; places as they are."""
        standard = self.standardise(inputs)
        return torch.where(self.is_number, standard, inputs.to(standard.dtype)).nan_to_num()


def uniform(*shape: int, fan_in: int) -> nn.Parameter:
    """As the weights of ``nn.Linear`` begin: uniform within ±1/√(fan in)."""
    bound = fan_in**-0.5
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
