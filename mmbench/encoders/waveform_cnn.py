"""A convolutional network on the samples themselves: its first layer finds its own filters.

After M5 of Dai et al., "Very Deep Convolutional Neural Networks for Raw Waveforms", ICASSP 2017
(arXiv 1610.00087). Differs from the paper: layer normalisation over channels instead of batch
normalisation, strides instead of pooling; pooled is mean *and* maximum over time.
"""

from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._audio import AudioEncoder, levelled
from mmbench.hookspecs import hookimpl
from mmbench.space import Range
from mmbench.types import Encoded, masked_mean

FIRST, FIRST_STRIDE = 80, 16  # samples
KERNEL, STRIDE = 3, 4  # steps
CHANNELS = 32


class WaveformCNN(AudioEncoder):
    """Four layers; a token for every 1,024 samples, 64 ms."""

    name = "waveform-cnn"
    emits_sequences = True
    offered = "gpu"

    def __init__(
        self, fitted: Fitted, *, width: Annotated[int, Range(32, 256, log=True)] = 64
    ) -> None:
        super().__init__(fitted)
        self.convolutions = nn.ModuleList(
            [
                nn.Conv1d(1, CHANNELS, FIRST, stride=FIRST_STRIDE, padding=FIRST // 2),
                nn.Conv1d(CHANNELS, CHANNELS, KERNEL, stride=STRIDE, padding=1),
                nn.Conv1d(CHANNELS, width, KERNEL, stride=STRIDE, padding=1),
                nn.Conv1d(width, width, KERNEL, stride=STRIDE, padding=1),
            ]
        )
        self.norms = nn.ModuleList(nn.LayerNorm(n) for n in (CHANNELS, CHANNELS, width, width))
        self.pool = nn.Linear(2 * width, width)
        self.out_dim = width

    def forward(self, inputs: Tensor) -> Encoded:
        clips, mask = levelled(inputs, self.fitted["level"])
        tokens = clips.unsqueeze(-1)  # (clips, steps, channels)
        strides = (FIRST_STRIDE, STRIDE, STRIDE, STRIDE)
        for convolution, norm, stride in zip(self.convolutions, self.norms, strides, strict=True):
            shown = (tokens * mask.unsqueeze(-1)).transpose(1, 2)
            tokens = torch.relu(norm(convolution(shown).transpose(1, 2)))
            mask = _strided(mask, stride, tokens.shape[1])
        highest = (tokens * mask.unsqueeze(-1)).amax(1)  # after a ReLU nothing is below zero
        pooled = self.pool(torch.cat([masked_mean(tokens, mask), highest], dim=1))
        return Encoded(tokens, mask, pooled * mask.any(1, keepdim=True))


def _strided(mask: Tensor, stride: int, steps: int) -> Tensor:
    """(clips, steps): whether a step's middle is real; a step beyond the end is not."""
    kept = mask[:, ::stride][:, :steps]
    return nn.functional.pad(kept, (0, steps - kept.shape[1]))


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [WaveformCNN]
