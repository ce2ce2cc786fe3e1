"""What a series is like in a few dozen numbers: level, spread, trend, roughness, spectrum.

After the hand-made features of Fulcher & Jones, "hctsa", Cell Systems 2017, the cheap ones; the
spectrum is that of Welch, IEEE Transactions on Audio and Electroacoustics 1967. Nothing trains.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._series import SeriesEncoder, real_steps
from mmbench.encoders._training_column import SAMPLE, Standardise, number_sample, scale
from mmbench.hookspecs import hookimpl
from mmbench.types import Column, Encoded, masked_mean

QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
SEGMENT = 256  # steps
OCTAVES = 7
"""Bands of the spectrum: the highest is half of it, each next one half of what is left."""
EPSILON = 1e-4
"""Added to squares and energies of series whose variance is 1 in training."""


class SeriesStatistics(SeriesEncoder):
    """Nineteen numbers a channel, standardised as they are in the training series."""

    name = "series-statistics"
    emits_sequences = False
    frozen = True  # nothing to train

    def __init__(self, fitted: Fitted) -> None:
        super().__init__(fitted)
        self.standardise_statistics = Standardise(fitted["statistics"])
        self.out_dim = len(fitted["statistics"]["mean"])

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """Each channel's mean and deviation, and each statistic's."""
        fitted: dict[str, Any] = dict(super().fit(train))
        steps, mask = real_steps(Standardise(fitted), number_sample(train, SAMPLE))
        return fitted | {"statistics": scale(statistics(steps, mask)[mask.any(1)], 1)}

    def forward(self, inputs: Tensor) -> Encoded:
        steps, mask = self.steps(inputs)
        found = self.standardise_statistics(statistics(steps, mask))
        return Encoded.vector(found, mask.any(1))


def statistics(steps: Tensor, mask: Tensor) -> Tensor:
    """(series, 19 × channels) of (series, time, channels), over the real steps."""
    mean = masked_mean(steps, mask)
    centred = torch.where(mask.unsqueeze(-1), steps - mean.unsqueeze(1), 0.0)
    pairs = mask[:, 1:]
    moves = masked_mean(steps.diff(dim=1).square(), pairs)
    crossings = masked_mean((centred[:, 1:] * centred[:, :-1] < 0).to(steps.dtype), pairs)
    parts = [
        mean,
        (masked_mean(centred.square(), mask) + EPSILON).sqrt(),
        *quantiles(steps, mask),
        trend(centred, mask),
        (moves + EPSILON).sqrt(),
        crossings,
        *((energy + EPSILON).log() for energy in energies(centred, mask)),
    ]
    return torch.cat(parts, dim=1)


def quantiles(steps: Tensor, mask: Tensor) -> list[Tensor]:
    """Each (series, channels), linear between two neighbours; zeros where no step is real."""
    ordered = steps.masked_fill(~mask.unsqueeze(-1), torch.inf).sort(dim=1).values
    last = (mask.sum(1) - 1).clamp(min=0)
    found = []
    for quantile in QUANTILES:
        place = quantile * last.to(steps.dtype)
        below = place.floor().long()
        low, high = (_at(ordered, at) for at in (below, (below + 1).minimum(last)))
        between = low + (place - below).unsqueeze(1) * (high - low)
        found.append(torch.where(mask.any(1, keepdim=True), between, 0.0))
    return found


def _at(ordered: Tensor, step: Tensor) -> Tensor:
    """(series, channels) of (series, time, channels) at a step (series,) of its own for each."""
    index = step[:, None, None].expand(-1, 1, ordered.shape[2])
    return ordered.gather(1, index).squeeze(1)


def trend(centred: Tensor, mask: Tensor) -> Tensor:
    """(series, channels): how far the line of least squares rises over the whole series."""
    length = mask.sum(1, keepdim=True)
    time = mask.cumsum(1) / length.clamp(min=1) - (length + 1) / (2 * length.clamp(min=1))
    time = torch.where(mask, time, 0.0).to(centred.dtype).unsqueeze(-1)
    return (time * centred).sum(1) / (time.square().sum(1) + 1e-6)


def energies(centred: Tensor, mask: Tensor) -> list[Tensor]:
    """Each (series, channels): mean energy of a step in an octave, the lowest first.

    Of Hann-windowed segments that overlap by half; padding adds nothing to any of them.
    """
    half = SEGMENT // 2
    time = centred.shape[1]
    padded = torch.nn.functional.pad(centred, (0, 0, half, -time % half + half))
    window = torch.hann_window(SEGMENT, dtype=centred.dtype, device=centred.device)
    segments = padded.unfold(1, SEGMENT, half) * window  # (series, segments, channels, steps)
    # an empty batch, of rows that all miss the modality, is more than the FFT can take
    spectrum = torch.fft.rfft(segments) if segments.shape[0] else segments[..., : half + 1]
    power = spectrum.abs().square().sum(1) / SEGMENT  # (series, channels, frequencies)
    power = power / mask.sum(1).clamp(min=1)[:, None, None]
    edges = [*(2**octave for octave in range(OCTAVES)), half + 1]
    return [power[..., low:high].sum(-1) for low, high in pairwise(edges)]


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [SeriesStatistics]
