"""What the speech encoders share: sound as numbers, how much of it is real, mel filters."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbench.api import Column, Encoder, Fitted

RATE = 16_000  # samples per second that every model here was trained on
WINDOW, HOP = 400, 160  # samples: 25 and 10 ms


class SpeechEncoder(Encoder):
    """Reads mono clips (clips, samples), floating point from −1 to 1 or int16.

    NaN at the end is padding; a clip that is NaN throughout is missing. ``sample_rate`` is that of
    the data, in hertz: other than 16,000 is resampled.
    """

    accepts = "audio"
    offered = "named"

    def __init__(self, fitted: Fitted, sample_rate: int) -> None:
        super().__init__(fitted)
        self.sample_rate = sample_rate

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """Nothing: the scale of sound is known."""
        if isinstance(train.values, tuple):
            raise TypeError(f"{cls.name} takes clips (clips, samples), not strings.")
        return {}

    def clips(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Clips at 16 kHz with zeros for padding, and the real length of each in samples."""
        if not inputs.is_floating_point():
            inputs = inputs / 32768
        real = ~inputs.isnan()
        clips = inputs.nan_to_num()
        lengths = (real * torch.arange(1, inputs.shape[1] + 1, device=inputs.device)).amax(1)
        if self.sample_rate != RATE:
            from torchaudio.functional import resample

            clips = resample(clips, self.sample_rate, RATE)
            lengths = (lengths * RATE).div(self.sample_rate, rounding_mode="floor")
            clips = clips * (torch.arange(clips.shape[1], device=clips.device) < lengths[:, None])
        return clips, lengths


def mel_filters(bands: int) -> Tensor:
    """(WINDOW / 2 + 1, bands) triangles of equal area on Slaney's mel scale, 0 to 8,000 Hz."""
    from torchaudio.functional import melscale_fbanks

    filters: Tensor = melscale_fbanks(
        WINDOW // 2 + 1, 0.0, RATE / 2, bands, RATE, norm="slaney", mel_scale="slaney"
    )
    return filters


def power_mel(padded: Tensor, window: Tensor, filters: Tensor) -> Tensor:
    """(clips, frames, bands) of clips that have half a window before the first frame's centre."""
    if len(padded) == 0:  # the Fourier transform refuses none
        return padded.new_zeros(0, 1 + (padded.shape[1] - WINDOW) // HOP, filters.shape[1])
    spectrum = torch.stft(
        padded, WINDOW, HOP, window=window, center=False, return_complex=True
    )  # (clips, frequencies, frames)
    return spectrum.abs().square().transpose(1, 2) @ filters


def whisper_mel(clips: Tensor, lengths: Tensor, window: Tensor, filters: Tensor) -> Tensor:
    """(clips, frames, bands) as Whisper reads them, one frame per 10 ms; zeros beyond the length.

    Radford et al., ICML 2023: logarithm of the power, at most 80 dB below the clip's loudest,
    scaled to about −1 to 1. The clip is mirrored at its start and followed by silence, as there.
    """
    half = WINDOW // 2
    clips = F.pad(clips, (0, max(0, half + 1 - clips.shape[1])))
    padded = F.pad(F.pad(clips[:, None], (half, 0), mode="reflect")[:, 0], (0, half))
    power = power_mel(padded, window, filters)[:, : -(-clips.shape[1] // HOP)]
    real = frames_of(power, lengths)
    levels = power.clamp(min=1e-10).log10()
    loudest = levels.masked_fill(~real[..., None], -torch.inf).amax((1, 2), keepdim=True)
    return ((levels.maximum(loudest - 8) + 4) / 4).masked_fill(~real[..., None], 0.0)


def frames_of(power: Tensor, lengths: Tensor) -> Tensor:
    """(clips, frames) whether a frame starts within its clip."""
    starts = torch.arange(power.shape[1], device=power.device) * HOP
    return starts < lengths[:, None]
