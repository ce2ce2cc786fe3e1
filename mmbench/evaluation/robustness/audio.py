"""Noise of sound (clips, …, samples): white noise at a signal-to-noise ratio, and silence.

The ratio is 10 log₁₀ of the power of the clip over that of the noise, in decibels, and it is met
exactly, but where whole numbers have an end: what is louder is cut off, as by a recorder, which
leaves a little less noise (of ``av-digits`` at −5 dB, 3 % of the samples: −4.8 dB). The levels are
those of noisy audio-visual speech recognition (Shi et al., "Robust Self-Supervised Audio-Visual
Speech Recognition", Interspeech 2022), who go from 10 to −10.
A silent span is the time mask of SpecAugment (Park et al., Interspeech 2019). NaN is padding and
stays; a clip of pure silence has no power to compare with and stays as well.
"""

import torch
from torch import Tensor

from mmbench.evaluation.robustness.noise import SHARES, Noise


def white_noise(clips: Tensor, decibels: float, draw: torch.Generator) -> Tensor:
    """The same power of noise relative to its own in every clip."""
    signal = clips if clips.is_floating_point() else clips.float()
    noise = torch.randn(clips.shape, generator=draw, dtype=signal.dtype)
    noise = noise.masked_fill(signal.isnan(), torch.nan)
    wanted = _power(signal) * 10 ** (-decibels / 10)
    noisy = signal + noise * (wanted / _power(noise)).sqrt()
    return noisy if clips.is_floating_point() else _rounded(noisy, clips.dtype)


def silence(clips: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """One span with ``share`` of the time, at a random place inside, set to zero."""
    time = clips.shape[-1]
    long = round(share * time)
    start = (torch.rand(len(clips), 1, generator=draw) * (time - long)).round()
    step = torch.arange(time)
    silent = (step >= start) & (step < start + long)  # (clips, time)
    silent = silent.reshape(len(clips), *(1,) * (clips.ndim - 2), time)
    return clips.masked_fill(silent & ~clips.isnan(), 0)


def _power(clips: Tensor) -> Tensor:
    """(clips, 1, …) the mean square of each clip."""
    mean = clips.flatten(1).square().nanmean(1).nan_to_num()
    return mean.reshape(len(clips), *(1,) * (clips.ndim - 1))


def _rounded(noisy: Tensor, dtype: torch.dtype) -> Tensor:
    limits = torch.iinfo(dtype)
    return noisy.round().clamp(limits.min, limits.max).to(dtype)


AUDIO: tuple[Noise[Tensor], ...] = (
    Noise("noise", (20.0, 10.0, 5.0, 0.0, -5.0), "signal-to-noise ratio, dB", white_noise),
    Noise("dropped", SHARES, "share of the time", silence),
)
