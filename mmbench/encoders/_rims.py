"""Rims of smoothed drawings: thin, and of colours between those of two areas.

Anti-aliasing gives a pixel on an edge a mixture of the colours on both sides (Catmull, "A
Hidden-Surface Algorithm with Anti-Aliasing", SIGGRAPH 1978). No object has that colour: the pixel
belongs to the side that covers more of it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def without_rims(
    colours: "np.ndarray", values: "np.ndarray", least: float, tolerance: float
) -> "np.ndarray":
    """The number of each pixel's colour (height, width), on rims that of the nearest area.

    ``values`` (channels, height, width). A colour has areas if it surrounds at least ``least``
    pixels from all sides. One that has none is on rims if its mean lies within ``tolerance`` of the
    line between two that have; thin lines of any other colour stay as they are.
    """
    import numpy as np

    inner = _surrounded(colours)
    found, sizes = np.unique(colours[inner], return_counts=True)
    areas = found[sizes >= least]
    thin = np.setdiff1d(colours, areas)
    if len(areas) < 2 or not len(thin):
        return colours
    filled = np.stack([values[:, inner & (colours == area)].mean(1) for area in areas])
    means = np.stack([values[:, colours == colour].mean(1) for colour in thin])
    rims = np.isin(colours, thin[_from_lines(means, filled) <= tolerance])
    apart = values[:, rims].T[:, None] - filled  # (pixels, areas, channels)
    joined = colours.copy()
    joined[rims] = areas[(apart**2).sum(2).argmin(1)]
    return joined


def _surrounded(colours: "np.ndarray") -> "np.ndarray":
    """Pixels whose four neighbours, as far as there are any, are of their colour."""
    import numpy as np

    padded = np.pad(colours, 1, mode="edge")
    sides = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return np.logical_and.reduce([side == colours for side in sides])


def _from_lines(points: "np.ndarray", ends: "np.ndarray") -> "np.ndarray":
    """How far each point is from the nearest of the lines between any two of ``ends``."""
    import numpy as np

    one, other = np.triu_indices(len(ends), 1)
    along = ends[other] - ends[one]  # (lines, channels)
    off = points[:, None] - ends[one]  # (points, lines, channels)
    share = ((off * along).sum(2) / (along**2).sum(1)).clip(0, 1)
    return np.linalg.norm(off - share[..., None] * along, axis=2).min(1)
