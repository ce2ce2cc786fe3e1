"""What vector-level fusions share: safe pooled vectors, who is present, a common width."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from mmbench.types import Encoded, Features


def pooled(encoded: Encoded) -> Tensor:
    """The pooled vector (batch, dim), zeros where the modality is missing."""
    # where, not a product: what a missing row holds may be NaN
    return torch.where(encoded.present.unsqueeze(1), encoded.pooled, 0.0)


def presence(features: Features, modalities: Iterable[str]) -> Tensor:
    """(batch, modality), True where the modality is there."""
    return torch.stack([features[m].present for m in modalities], dim=1)


class Projection(nn.Module):
    """A linear map per modality to one common width; what a missing one gives is unspecified."""

    def __init__(self, dims: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.linear = nn.ModuleDict({m: nn.Linear(dim, width) for m, dim in dims.items()})

    def forward(self, features: Features) -> Tensor:
        """Give (batch, modality, width), in the order of ``dims``."""
        return torch.stack(list(self.each(features).values()), dim=1)

    def each(self, features: Features) -> dict[str, Tensor]:
        """Give (batch, width) by modality."""
        return {m: f(pooled(features[m])) for m, f in self.linear.items()}
