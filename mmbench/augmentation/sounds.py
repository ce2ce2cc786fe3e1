"""Sounds shifted in time, and played faster or slower.

The shift is that of the baseline of Warden, "Speech Commands: A Dataset for Limited-Vocabulary
Speech Recognition", 2018 (https://arxiv.org/abs/1804.03209); the speed that of Ko, Peddinti, Povey
& Khudanpur, "Audio Augmentation for Speech Recognition", Interspeech 2015.
"""

import torch
from torch import Tensor, nn


class TimeShift(nn.Module):
    """Earlier or later by at most a share of its length; what leaves at one end enters the other.

    Differs from the paper, which fills with silence: under noise, silence would tell the shift.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, clips: Tensor) -> Tensor:
        """(clips, samples) to the same; NaN, the padding at the end, stays there."""
        if not self.training:
            return clips
        length = (~clips.isnan()).sum(1, keepdim=True).clamp(min=1)
        draw = torch.rand(len(clips), 1, device=clips.device)
        offset = ((2 * draw - 1) * self.share * length).round().long()
        place = torch.arange(clips.shape[1], device=clips.device)
        return clips.gather(1, torch.where(place < length, (place + offset) % length, place))


class Speed(nn.Module):
    """Faster or slower by at most a share: pitch and formants move too, as with another voice.

    Differs from the paper, whose clips get longer or shorter: here they keep their length, what is
    too long being cut at the end, and what is too short going round.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, clips: Tensor) -> Tensor:
        """(clips, samples) to the same; NaN, the padding at the end, stays there."""
        if not self.training:
            return clips
        length = (~clips.isnan()).sum(1, keepdim=True).clamp(min=1)
        speed = 1 + (2 * torch.rand(len(clips), 1, device=clips.device) - 1) * self.share
        place = torch.arange(clips.shape[1], device=clips.device)
        played = place * speed
        before = played.long()
        one, next_one = (clips.gather(1, (before + i) % length).float() for i in (0, 1))
        between = one.lerp(next_one, played - before).to(clips.dtype)
        return torch.where(place < length, between, clips)
