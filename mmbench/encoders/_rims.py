"""Rims of smoothed drawings: thin, and of colours between those of two areas.

Anti-aliasing gives a pixel on an edge a mixture of the colours on both sides (Catmull, "A
Hidden-Surface Algorithm with Anti-Aliasing", SIGGRAPH 1978). No object has that colour: the pixel
belongs to the side that covers more of it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MOST = 16
"""Colours of areas, the largest, of which rims are looked for between any two."""


def without_rims(
    colours: "np.ndarray", values: "np.ndarray", least: float, tolerance: float
) -> "np.ndarray":
    """The number of each pixel's colour (height, width), on rims that of the nearest area.

    ``values`` (channels, height, width). A colour has areas if it surrounds at least ``least``
    pixels from all sides. One that has none is on rims if its mean lies within ``tolerance`` of the
    line between two that have; thin lines of any other colour stay as they are.
    """
    import numpy as np

    found, number = np.unique(colours, return_inverse=True)
    number, pixels = number.ravel(), values.reshape(len(values), -1)
    inner = _surrounded(colours).ravel()
    sizes = np.bincount(number[inner], minlength=len(found))
    filled = np.flatnonzero(sizes >= least)
    areas = filled[np.argsort(-sizes[filled], kind="stable")[:MOST]]
    thin = np.setdiff1d(np.arange(len(found)), filled)
    if len(areas) < 2 or not len(thin):
        return colours
    means = _means(pixels, number, len(found))
    solid = _means(pixels[:, inner], number[inner], len(found))[areas]
    rims = np.isin(number, thin[_from_lines(means[thin], solid) <= tolerance])
    apart = pixels[:, rims].T[:, None] - solid  # (pixels of rims, areas, channels)
    number[rims] = areas[(apart**2).sum(2).argmin(1)]
    return found[number].reshape(colours.shape)


def _means(pixels: "np.ndarray", number: "np.ndarray", count: int) -> "np.ndarray":
    """(count, channels) the mean of the pixels (channels, n) of each number; 0 if there is none."""
    import numpy as np

    sizes = np.bincount(number, minlength=count).clip(min=1)
    return np.stack([np.bincount(number, channel, count) / sizes for channel in pixels], axis=1)


def _surrounded(colours: "np.ndarray") -> "np.ndarray":
    """Pixels whose four neighbours, as far as there are any, are of their colour."""
    import numpy as np

    padded = np.pad(colours, 1, mode="edge")
    sides = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    surrounded: np.ndarray = np.logical_and.reduce([side == colours for side in sides])
    return surrounded


def _from_lines(points: "np.ndarray", ends: "np.ndarray") -> "np.ndarray":
    """How far each point is from the nearest of the lines between any two of ``ends``."""
    import numpy as np

    one, other = np.triu_indices(len(ends), 1)
    along = ends[other] - ends[one]  # (lines, channels)
    off = points[:, None] - ends[one]  # (points, lines, channels)
    share = ((off * along).sum(2) / (along**2).sum(1)).clip(0, 1)
    away: np.ndarray = np.linalg.norm(off - share[..., None] * along, axis=2).min(1)
    return away
