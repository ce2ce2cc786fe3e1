"""Disturbed values go through equal frozen encoders once; what differs is never mistaken."""

import torch
from torch import Tensor

from mmbench.contracts import Encoder
from mmbench.remembered import Remembered
from mmbench.spec import Component
from mmbench.types import Encoded

C = Component("scaled")
VALUES = torch.arange(6.0).reshape(3, 2)


class Scaled(Encoder):
    """Counts what it reads."""

    name, accepts, frozen = "scaled", "tabular", True

    def __init__(self, by: float = 2.0) -> None:
        super().__init__({})
        self.register_buffer("by", torch.tensor(by))
        self.out_dim, self.read = 2, 0

    def forward(self, inputs: Tensor) -> Encoded:
        self.read += len(inputs)
        return Encoded.vector(inputs * self.by)


def test_an_equal_encoder_need_not_read_equal_values_again() -> None:
    held, first, second = Remembered(), Scaled(), Scaled()
    found = held.encode(C, first, VALUES)
    again = held.encode(C, second, VALUES.clone())
    assert torch.equal(found.pooled, VALUES * 2) and torch.equal(again.pooled, found.pooled)
    assert (first.read, second.read) == (3, 0)


def test_other_values_weights_or_settings_are_read() -> None:
    held = Remembered()
    held.encode(C, Scaled(), VALUES)
    for component, encoder, values in (
        (C, Scaled(), VALUES + 1),
        (C, Scaled(3.0), VALUES),
        (Component("scaled", {"pooled": "max"}), Scaled(), VALUES),
    ):
        found = held.encode(component, encoder, values)
        assert torch.equal(found.pooled, values * encoder.by) and encoder.read == 3


def test_what_trains_is_always_read() -> None:
    held, encoder = Remembered(), Scaled()
    encoder.frozen = False  # type: ignore[misc]
    for _ in range(2):
        held.encode(C, encoder, VALUES)
    assert encoder.read == 6 and not held.kept


def test_when_it_is_full_the_first_stay() -> None:
    encoder = Scaled()
    held = Remembered(most=encoder(VALUES).nbytes)
    for values in (VALUES, VALUES + 1, VALUES, VALUES + 1):
        held.encode(C, encoder, values)
    assert encoder.read == 3 + 3 + 3 + 3 and len(held.kept) == 1
