"""Sounds shifted in time, as in the challenge baseline of the Speech Commands dataset.

Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", 2018
(https://arxiv.org/abs/1804.03209).
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
