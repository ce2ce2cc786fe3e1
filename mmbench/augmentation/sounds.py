"""Sounds shifted in time, and played faster or slower.

The shift is that of the baseline of Warden, "Speech Commands: A Dataset for Limited-Vocabulary
Speech Recognition", 2018 (https://arxiv.org/abs/1804.03209); the speed that of Ko, Peddinti, Povey
& Khudanpur, "Audio Augmentation for Speech Recognition", Interspeech 2015.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Replayed(nn.Module, ABC):
    """Each sample of a clip from elsewhere in it, by a number drawn for the clip."""

    def __init__(self, share: float) -> None:
        """``share``: the largest number that is drawn; the least is its opposite."""
        super().__init__()
        self.share = share

    def forward(self, clips: Tensor) -> Tensor:
        """(clips, samples) to the same; NaN, the padding at the end, stays there."""
        if not self.training:
            return clips
        length = (~clips.isnan()).sum(1, keepdim=True).clamp(min=1)
        drawn = (2 * torch.rand(len(clips), 1, device=clips.device) - 1) * self.share
        place = torch.arange(clips.shape[1], device=clips.device)
        return torch.where(place < length, self.replay(clips, place, length, drawn), clips)

    @abstractmethod
    def replay(self, clips: Tensor, place: Tensor, length: Tensor, drawn: Tensor) -> Tensor:
        """(clips, samples) at each ``place`` (samples,); ``length`` and ``drawn`` are (clips, 1).

        What leaves at one end of a clip's length enters at the other.
        """


class TimeShift(Replayed):
    """Earlier or later by at most a share of its length; what leaves at one end enters the other.

    Differs from the paper, which fills with silence: under noise, silence would tell the shift.
    """

    def replay(self, clips: Tensor, place: Tensor, length: Tensor, drawn: Tensor) -> Tensor:
        offset = (drawn * length).round().long()
        return clips.gather(1, (place + offset) % length)


class Speed(Replayed):
    """Faster or slower by at most a share: pitch and formants move too, as with another voice.

    Differs from the paper, whose clips get longer or shorter: here they keep their length, what is
    too long being cut at the end, and what is too short going round.
    """

    def replay(self, clips: Tensor, place: Tensor, length: Tensor, drawn: Tensor) -> Tensor:
        played = place * (1 + drawn)
        before = played.long()
        one, next_one = (clips.gather(1, (before + i) % length).float() for i in (0, 1))
        return one.lerp(next_one, played - before).to(clips.dtype)
