"""Noise of tables (rows, features) and of series (series, time, features).

Gaussian noise is measured in standard deviations of the feature over the disturbed rows, so that it
does not depend on units. A dropped value is what imputation makes of it: the feature's mean.
Permuting is the disturbance of permutation importance (Breiman, "Random Forests", Machine Learning
2001) for some of the cells: in a table cells change rows within their feature, in a series steps
change places within it. NaN, an empty cell or the padding of a short series, stays where it is.
"""

import torch
from torch import Tensor

from mmbench.evaluation.robustness.noise import SHARES, Noise

STANDARD_DEVIATIONS = (0.1, 0.25, 0.5, 1.0, 2.0)


def gaussian(values: Tensor, level: float, draw: torch.Generator) -> Tensor:
    """Independent noise on every number, in standard deviations of its feature."""
    values = _floating(values)
    noise = torch.randn(values.shape, generator=draw, dtype=values.dtype)
    return values + level * _std(values) * noise


def dropped_cells(table: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """Cells at their feature's mean, each with probability ``share``."""
    table = _floating(table)
    return _with_mean(table, torch.rand(table.shape, generator=draw) < share)


def dropped_steps(series: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """Whole time steps at the mean of each feature, each with probability ``share``."""
    series = _floating(series)
    hit = torch.rand(series.shape[:2], generator=draw) < share
    return _with_mean(series, hit.unsqueeze(2))


def permuted_cells(table: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """Of every feature, ``share`` of the cells in another order over the rows."""
    lines = table.T  # (features, rows)
    order = exchanged(~lines.isnan(), share, draw)
    return lines.gather(1, order).T


def permuted_steps(series: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """Of every series, ``share`` of the time steps in another order."""
    order = exchanged(~series.isnan().all(2), share, draw)  # (series, time)
    return series.gather(1, order.unsqueeze(2).expand_as(series))


def exchanged(movable: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """(lines, places) an order for each line, in which some places have been permuted.

    Movable places are hit with probability ``share``; all others stay.
    """
    hit = (torch.rand(movable.shape, generator=draw) < share) & movable
    places = hit.logical_not().to(torch.uint8).argsort(dim=1, stable=True)  # those hit come first
    luck = torch.rand(movable.shape, generator=draw).masked_fill(~hit, torch.inf)
    # ``luck`` sorts those hit anew and leaves the rest in the order in which ``places`` has them
    return torch.empty_like(places).scatter(1, places, luck.argsort(dim=1, stable=True))


def _with_mean(values: Tensor, hit: Tensor) -> Tensor:
    return torch.where(hit & ~values.isnan(), _mean(values), values)


def _mean(values: Tensor) -> Tensor:
    return values.flatten(0, -2).nanmean(0)  # (features,)


def _std(values: Tensor) -> Tensor:
    return (values - _mean(values)).flatten(0, -2).square().nanmean(0).sqrt()


def _floating(values: Tensor) -> Tensor:
    return values if values.is_floating_point() else values.float()


TABULAR: tuple[Noise[Tensor], ...] = (
    Noise("gaussian", STANDARD_DEVIATIONS, "standard deviations of the feature", gaussian),
    Noise("dropped", SHARES, "probability of each cell", dropped_cells),
    Noise("permuted", SHARES, "probability of each cell", permuted_cells),
)
SERIES: tuple[Noise[Tensor], ...] = (
    Noise("gaussian", STANDARD_DEVIATIONS, "standard deviations of the feature", gaussian),
    Noise("dropped", SHARES, "probability of each time step", dropped_steps),
    Noise("permuted", SHARES, "probability of each time step", permuted_steps),
)
