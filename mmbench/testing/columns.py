"""A few values of each kind, for encoders whose author brings none.

They differ in content, and where a kind allows it in length; texts share some words.
"""

import torch

from mmbench.types import MISSING, Column, Kind, Values

ROWS = 6
TEXTS = (
    "what color is the circle?",
    "is there a blue circle?",
    "blue",
    "no circle, no cry!",
    "is the image blue?",
    "a square",
)


def example_column(kind: Kind) -> Column:
    """Six values of this kind in eight rows, one of which misses it and one repeats."""
    return Column(_values(kind), torch.tensor([*range(ROWS), 0, MISSING]))


def _values(kind: Kind) -> Values:
    draw = torch.Generator().manual_seed(0)
    match kind:
        case "text":
            return TEXTS
        case "image":  # (images, channels, height, width)
            return torch.randint(256, (ROWS, 3, 64, 64), generator=draw, dtype=torch.uint8)
        case "video":  # (videos, frames, channels, height, width)
            return torch.randint(256, (ROWS, 4, 3, 64, 64), generator=draw, dtype=torch.uint8)
        case "audio":  # (clips, samples) of one second at 16 kHz
            return 0.1 * torch.randn(ROWS, 16_000, generator=draw)
        case "tabular":  # (rows, numbers), one cell empty
            table = torch.randn(ROWS, 5, generator=draw)
            table[1, 2] = torch.nan
            return table
        case "series":  # (series, time, channels), the end of two of them padding
            series = torch.randn(ROWS, 24, 4, generator=draw)
            series[1, 20:] = series[3, 12:] = torch.nan
            return series
