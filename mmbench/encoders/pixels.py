"""An image as it is, on a coarse grid: the mean of each channel in each cell.

The features of Le Cun et al., "Gradient-Based Learning Applied to Document Recognition" (Proc.
IEEE 1998), for their linear classifiers, and the tiny images of Torralba, Fergus & Freeman (TPAMI
2008). Nothing trains, so features are computed once. Where noise hides every edge, means still tell
what is drawn where: features of gradients are lost there.
"""

from typing import Annotated

from torch import Tensor
from torch.nn import functional as F

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._image import ImageEncoder, from_bytes
from mmbench.encoders._training_column import SAMPLE, Standardise, number_sample, scale
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice
from mmbench.types import Column, Encoded

GRIDS = (4, 8, 16)


class Pixels(ImageEncoder):
    """One vector of ``cells² · channels`` numbers, standardised on the training images.

    An image with fewer pixels than cells has some of them several times.
    """

    name = "pixels"
    emits_sequences = False
    frozen = True

    def __init__(self, fitted: Fitted, *, cells: Annotated[int, Choice(*GRIDS)] = 8) -> None:
        super().__init__(fitted)
        self.cells = cells
        self.standardise = Standardise(fitted["grids"][str(cells)])
        self.out_dim = cells**2 * fitted["shape"][0]

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """The shape of an image, and the scale of each cell of each grid."""
        found, images = super().fit(train), number_sample(train, SAMPLE)
        return {**found, "grids": {str(n): scale(grid(images, n), 1) for n in GRIDS}}

    def forward(self, inputs: Tensor) -> Encoded:
        return Encoded.vector(self.standardise(grid(inputs, self.cells)))


def grid(images: Tensor, cells: int) -> Tensor:
    """(images, channels · cells²) of (images, channels, height, width), bytes from 0 to 1."""
    return F.adaptive_avg_pool2d(from_bytes(images), cells).flatten(1)


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [Pixels]
