"""Hand-made objects: connected regions of one colour are tokens, described by place and shape.

The describers are the usual ones of connected components (Haralick & Shapiro, "Computer and Robot
Vision", vol. 1, Addison-Wesley 1992, ch. 2 and 3): centroid, area, box, extent, second moments and
mean colour. Places are also given as sines and cosines (Tancik et al., "Fourier Features Let
Networks Learn High Frequency Functions in Low Dimensional Domains", NeurIPS 2020): products of
those of two places tell how near they are, which is what attention can compute. Nothing trains.

Suits drawings, diagrams and icons, where an object is of one colour; not photographs.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import torch
from torch import Tensor

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._image import ImageEncoder
from mmbench.encoders._rims import without_rims
from mmbench.encoders._training_column import SAMPLE, Standardise, number_sample, scale
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice
from mmbench.types import Column, Encoded

if TYPE_CHECKING:
    import numpy as np

SMALLEST = 1e-3
"""Share of an image; what is smaller is noise or a rim."""
LEVELS, MOST = 4, 8
WAVES = (1, 2)
"""Half periods of the sines over a side of the image."""
EXTREME = 3.0
"""Standard deviations. Where boxes are nearly all alike, a clipped one would be fifty away."""
SHAPE = 9
"""Numbers that say where a region is and which form it has; sines and colours are besides."""


class Regions(ImageEncoder):
    """At most ``regions`` tokens, the largest first; the pooled vector is their mean.

    Two pixels are of one region if they touch at a side and are of one colour, in ``levels`` steps
    from the lowest to the highest value of the training images. The commonest colour of the border
    is background: its regions are no tokens, unless there is nothing else. The rims of smoothed
    drawings are no regions of their own.
    """

    name = "regions"
    frozen = True
    batched = False

    def __init__(
        self,
        fitted: Fitted,
        *,
        regions: Annotated[int, Choice(4, 8, 16)] = MOST,
        levels: Annotated[int, Choice(2, 4, 8)] = LEVELS,
    ) -> None:
        super().__init__(fitted)
        self.regions, self.levels = regions, levels
        self.out_dim = SHAPE + 4 * len(WAVES) + fitted["shape"][0]
        self.standardise = Standardise(fitted["features"])

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """The lowest and the highest value, and the scale of each feature."""
        fitted = super().fit(train)
        images = number_sample(train, SAMPLE)
        span = [float(images.min()), float(images.max())]
        found = [described(image, span, LEVELS, MOST) for image in images]
        return {**fitted, "span": span, "features": scale(torch.cat(found), 1)}

    def forward(self, inputs: Tensor) -> Encoded:
        device, width = inputs.device, self.out_dim
        tokens = torch.zeros(len(inputs), self.regions, width)
        mask = torch.zeros(tokens.shape[:2], dtype=torch.bool)
        for place, image in enumerate(inputs.detach().cpu()):
            found = described(image, self.fitted["span"], self.levels, self.regions)
            tokens[place, : len(found)], mask[place, : len(found)] = found, True
        standard = self.standardise(tokens.to(device)).clamp(-EXTREME, EXTREME)
        mask = mask.to(device)
        return Encoded(torch.where(mask.unsqueeze(2), standard, 0.0), mask)


def described(image: Tensor, span: list[float], levels: int, most: int) -> Tensor:
    """(regions, features) of an image (channels, height, width), the largest region first."""
    low, high = span
    values = ((image.double() - low) / max(high - low, 1e-12)).clamp(0, 1).numpy()
    labels, background = labelled(values, levels)
    found = [_described(values, labels, label) for label in _largest(labels, background, most)]
    return torch.tensor(found)


def labelled(values: "np.ndarray", levels: int) -> "tuple[np.ndarray, np.ndarray]":
    """The number of each pixel's region, from 1 on, and (regions + 1,) which are background."""
    import numpy as np

    steps = np.minimum((values * levels).astype(int), levels - 1)
    colours = np.ravel_multi_index(tuple(steps), (levels,) * len(steps))
    colours = without_rims(colours, values, SMALLEST * colours.size, 1 / levels)
    border = np.concatenate([colours[0], colours[-1], colours[1:-1, 0], colours[1:-1, -1]])
    commonest = np.bincount(border).argmax()
    labels, first = _connected(colours)
    return labels, np.concatenate([[False], colours.ravel()[first] == commonest])


def _connected(colours: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
    """The number of each pixel's region, from 1 on by colour, and the first pixel of each."""
    import numpy as np
    from scipy.sparse import coo_array  # type: ignore[import-untyped]
    from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

    pixels = np.arange(colours.size).reshape(colours.shape)
    below, beside = colours[1:] == colours[:-1], colours[:, 1:] == colours[:, :-1]
    ends = [
        np.concatenate([down[below], along[beside]])
        for down, along in ((pixels[1:], pixels[:, 1:]), (pixels[:-1], pixels[:, :-1]))
    ]
    edges = coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(colours.size,) * 2)
    _, parts = connected_components(edges, directed=False)
    _, first = np.unique(parts, return_index=True)
    order = np.lexsort((first, colours.ravel()[first]))
    numbers = np.empty_like(order)
    numbers[order] = np.arange(1, len(order) + 1)
    return numbers[parts].reshape(colours.shape), first[order]


def _largest(labels: "np.ndarray", background: "np.ndarray", most: int) -> list[int]:
    """Which regions are kept: at least one, whatever it is."""
    import numpy as np

    areas = np.bincount(labels.ravel())
    minor = background | (areas < SMALLEST * labels.size)
    order = np.lexsort((-areas[1:], minor[1:])) + 1
    return [int(k) for place, k in enumerate(order[:most]) if place == 0 or not minor[k]]


def _described(values: "np.ndarray", labels: "np.ndarray", label: int) -> list[float]:
    """Place, size, box, form, place again as waves, and colour of one region."""
    height, width = labels.shape
    rows, columns = (labels == label).nonzero()
    area = len(rows)
    box = (1 + int(columns.max() - columns.min()), 1 + int(rows.max() - rows.min()))
    x, y = ((2 * float(p.mean()) + 1) / side - 1 for p, side in ((columns, width), (rows, height)))
    return [
        *(x, y),
        math.sqrt(area / labels.size),
        *(box[0] / width, box[1] / height),
        area / (box[0] * box[1]),
        *_moments(columns - columns.mean(), rows - rows.mean()),
        *waves(x),
        *waves(y),
        *values[:, rows, columns].mean(1).tolist(),
    ]


def _moments(across: "np.ndarray", down: "np.ndarray") -> Iterator[float]:
    """Second moments of a region by its area: what does not change with its size."""
    for one, other in ((across, across), (down, down), (across, down)):
        yield float((one * other).mean()) / len(across)


def waves(place: float) -> Iterator[float]:
    """Sines and cosines of a place from -1 to 1."""
    for k in WAVES:
        yield math.sin(math.pi / 2 * k * place)
        yield math.cos(math.pi / 2 * k * place)


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [Regions]
