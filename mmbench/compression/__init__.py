"""Smaller models: weights of little size set to zero, layers that count in whole numbers.

Both happen after training and need no data. What they cost is measured by ``mmbench.exporting``.
"""

from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from mmbench.compression.int8 import use_int8
from mmbench.compression.pruning import prune_smallest
from mmbench.errors import InvalidParameter


@dataclass(frozen=True, slots=True)
class Compression:
    """What is done to a trained model, in this order."""

    prune: float = 0.0
    """The share of the weights of linear and convolution layers that becomes zero."""
    int8: bool = False
    """Linear layers hold and multiply 8-bit whole numbers."""

    def __post_init__(self) -> None:
        if not 0 <= self.prune < 1:
            raise InvalidParameter(
                f"prune is the share of weights to remove: at least 0, below 1; got {self.prune}."
            )

    def __bool__(self) -> bool:
        return self.int8 or self.prune > 0

    def __str__(self) -> str:
        said = [f"{self.prune:.0%} pruned"] if self.prune else []
        return ", ".join(said + ["int8"] * self.int8) or "original"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


AS_TRAINED = Compression()


def compress(model: nn.Module, how: Compression) -> None:
    """Change a trained ``model`` in place."""
    if how.prune:
        prune_smallest(model, how.prune)
    restructure(model, how)


def restructure(model: nn.Module, how: Compression) -> None:
    """Give ``model`` the layers of a compressed one; their weights may be loaded afterwards."""
    if how.int8:
        use_int8(model)
