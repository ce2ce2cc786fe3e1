"""What paradigms that look at representations share: safe pooled vectors, their reconstruction."""

from torch import Tensor, nn
from torch.nn import functional as F

from mmbench.objectives._present import mean_over
from mmbench.types import Encoded


def pooled(encoded: Encoded) -> Tensor:
    """The pooled vector (batch, dim), zeros where the modality is missing."""
    # masked_fill, not a product: what a missing row holds may be NaN
    return encoded.pooled.masked_fill(~encoded.present.unsqueeze(1), 0.0)


def normalised(encoded: Encoded) -> Tensor:
    """The pooled vector (batch, dim), each row with mean zero and variance one over its units.

    So that a distance means the same whatever the scale of an encoder's features.
    """
    vector = pooled(encoded)
    return F.layer_norm(vector, vector.shape[-1:])


def perceptron(in_dim: int, out_dim: int, width: int) -> nn.Sequential:
    """Two linear maps with a rectifier between."""
    return nn.Sequential(nn.Linear(in_dim, width), nn.ReLU(), nn.Linear(width, out_dim))


def reconstruction(decoded: Tensor, encoded: Encoded, rows: Tensor | None = None) -> Tensor:
    """Mean square distance of ``decoded`` (batch, dim) from the normalised, detached features.

    A mean over units and over ``rows`` (batch,), those that have the modality if not given.
    """
    distances = (decoded - normalised(encoded).detach()).square().mean(dim=-1)  # (batch,)
    return mean_over(distances, encoded.present if rows is None else rows)
