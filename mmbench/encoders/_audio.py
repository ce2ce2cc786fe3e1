"""What the audio encoders share: levels, which samples are real, and mel spectrograms.

Clips are mono, 16,000 samples a second, whole numbers or floating point of any scale. NaN is
padding, at the end; a clip that is NaN throughout is missing. The scale of frequencies is that of
Davis & Mermelstein (IEEE TASSP 1980), in windows of 25 ms every 10 ms.
"""

from typing import Any

import torch
from torch import Tensor, nn

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._training_column import SAMPLE, Standardise, number_sample, scale
from mmbench.types import Column

RATE = 16_000  # samples per second
WINDOW, HOP = RATE // 40, RATE // 100
BANDS = 40
FLOOR = 1e-4
"""Added to the power of a band, of clips whose mean square is 1: what lies below is silence."""


class AudioEncoder(Encoder):
    """Reads (clips, samples)."""

    accepts = "audio"

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """The number of samples and their root mean square."""
        clips = cls.sample(train)
        fitted: dict[str, Any] = {"shape": list(clips.shape[1:]), "level": loudness(clips)}
        return fitted

    @classmethod
    def sample(cls, train: Column) -> Tensor:
        """(clips, samples) some of the training clips."""
        clips = number_sample(train, SAMPLE)
        if clips.ndim != 2:
            raise TypeError(f"{cls.name} takes clips (clips, samples); got {tuple(clips.shape)}.")
        return clips


def loudness(clips: Tensor) -> float:
    """The root mean square of all samples; 1 of silence."""
    return clips.float().square().nanmean().sqrt().nan_to_num().item() or 1.0


def levelled(inputs: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """Clips of mean square about 1, zeros for NaN; and (clips, samples) which samples are real."""
    clips = inputs.float() / level
    return clips.nan_to_num(), ~clips.isnan()


class LogMel(nn.Module):
    """(clips, samples) to the logarithm of the power in each mel band, every 10 ms."""

    def __init__(self) -> None:
        super().__init__()
        from torchaudio.functional import melscale_fbanks

        bands = melscale_fbanks(WINDOW // 2 + 1, 0.0, RATE / 2, BANDS, RATE)
        self.register_buffer("bands", bands, persistent=False)  # (frequencies, bands)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        self.bands: Tensor
        self.window: Tensor

    def forward(self, clips: Tensor) -> Tensor:
        """(clips, frames, bands); a frame is centred on every 160th sample from the first on."""
        padded = nn.functional.pad(clips, (WINDOW // 2, WINDOW // 2))
        frames = padded.unfold(1, WINDOW, HOP) * self.window  # (clips, frames, window)
        # an empty batch, of rows that all miss the modality, is more than the FFT can take
        spectrum = torch.fft.rfft(frames) if frames.shape[0] else frames[..., : len(self.bands)]
        power = spectrum.abs().square() / WINDOW
        return (power @ self.bands + FLOOR).log()


class Cepstrum(nn.Module):
    """(…, bands) of a ``LogMel`` to (…, coefficients): their discrete cosine transform."""

    def __init__(self, coefficients: int) -> None:
        super().__init__()
        from torchaudio.functional import create_dct

        cosines = create_dct(coefficients, BANDS, norm="ortho")  # (bands, coefficients)
        self.register_buffer("cosines", cosines, persistent=False)
        self.cosines: Tensor

    def forward(self, mel: Tensor) -> Tensor:
        return mel @ self.cosines


class MelEncoder(AudioEncoder):
    """Reads mel spectrograms, each band of mean 0 and variance 1 over the training clips."""

    def __init__(self, fitted: Fitted) -> None:
        super().__init__(fitted)
        self.mel = LogMel()
        self.standardise = Standardise(fitted)

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """The level of the clips, and each band's mean and standard deviation."""
        found: dict[str, Any] = dict(super().fit(train))
        clips, real = levelled(cls.sample(train), found["level"])
        return found | scale(LogMel()(clips)[framed(real)], 1)

    def spectrograms(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(clips, frames, bands), and which frames are real."""
        clips, real = levelled(inputs, self.fitted["level"])
        return self.standardise(self.mel(clips)), framed(real)


def framed(real: Tensor) -> Tensor:
    """(clips, frames) whether a frame's middle is real, from (clips, samples)."""
    ended = nn.functional.pad(real, (0, HOP))  # the last frame is centred on what follows the clip
    return ended[:, : real.shape[1] + 1 : HOP] & real.any(1, keepdim=True)


def normalised(states: Tensor, mask: Tensor, norm: nn.GroupNorm) -> Tensor:
    """As ``norm`` does to (clips, channels, time), by what is real of each clip, (clips, time)."""
    grouped = states.unflatten(1, (norm.num_groups, -1))  # (clips, groups, channels, time)
    real = mask[:, None, None, :].to(states.dtype).expand_as(grouped)
    count = real.sum((2, 3), keepdim=True).clamp(min=1)
    centred = grouped - (grouped * real).sum((2, 3), keepdim=True) / count
    variance = (centred.square() * real).sum((2, 3), keepdim=True) / count
    scaled: Tensor = (centred * (variance + norm.eps).rsqrt()).flatten(1, 2)
    return scaled * norm.weight[:, None] + norm.bias[:, None]
