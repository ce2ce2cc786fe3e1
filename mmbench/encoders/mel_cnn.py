"""A small convolutional network on mel spectrograms, cheap enough to train on one CPU thread.

After Piczak, "Environmental sound classification with convolutional neural networks", MLSP 2015.
Differs from the paper: strides instead of pooling, layer normalisation over channels, so that
neither batch mates nor padding change a clip's features; mean and maximum over time at the end.
SpecAugment (Park et al., Interspeech 2019) hides bands and frames in training.
"""

from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._audio import BANDS, MelEncoder
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice, Range
from mmbench.types import Encoded, masked_mean

CHANNELS = 32


class MelCNN(MelEncoder):
    """3×3 convolutions of stride 2; one token per 2^depth frames, all its bands together."""

    name = "mel-cnn"
    emits_sequences = True

    def __init__(
        self,
        fitted: Fitted,
        *,
        width: Annotated[int, Range(32, 256, log=True)] = 64,
        depth: Annotated[int, Choice(2, 3)] = 2,
        hidden: Annotated[float, Choice(0.0, 0.1, 0.2)] = 0.1,
    ) -> None:
        """``hidden``: at most this share of the bands, and of the frames, is hidden in training."""
        super().__init__(fitted)
        self.hidden = hidden
        widths = [1, *[CHANNELS] * depth]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inner, CHANNELS, 3, stride=2, padding=1) for inner in widths[:-1]
        )
        self.norms = nn.ModuleList(nn.LayerNorm(CHANNELS) for _ in range(depth))
        self.token = nn.Linear(CHANNELS * -(-BANDS // 2**depth), width)
        self.pool = nn.Linear(2 * width, width)
        self.out_dim = width

    def forward(self, inputs: Tensor) -> Encoded:
        mel, mask = self.spectrograms(inputs)
        grid = self.augmented(mel).unsqueeze(1)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            grid = convolution(grid * mask[:, None, :, None])  # (clips, channels, frames, bands)
            grid = torch.relu(norm(grid.movedim(1, -1)).movedim(-1, 1))
            mask = mask[:, ::2]
        tokens = torch.relu(self.token(grid.movedim(1, 2).flatten(2)))
        highest = (tokens * mask.unsqueeze(-1)).amax(1)  # after a ReLU nothing is below zero
        pooled = self.pool(torch.cat([masked_mean(tokens, mask), highest], dim=1))
        return Encoded(tokens, mask, pooled * mask.any(1, keepdim=True))

    def augmented(self, mel: Tensor) -> Tensor:
        """(clips, frames, bands) with one stretch of each hidden behind the mean, in training."""
        if not self.training or not self.hidden:
            return mel
        shown = mel
        for dim in (1, 2):
            size = mel.shape[dim]
            length = torch.rand(len(mel), 1, device=mel.device) * self.hidden * size
            start = torch.rand(len(mel), 1, device=mel.device) * (size - length)
            step = torch.arange(size, device=mel.device)
            hidden = (step >= start) & (step < start + length)  # (clips, size)
            shown = shown.masked_fill(hidden.unsqueeze(3 - dim), 0.0)
        return shown


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [MelCNN]
