"""Statistics of mel-frequency cepstral coefficients: what a clip sounds like, without training.

Davis & Mermelstein, "Comparison of Parametric Representations for Monosyllabic Word Recognition in
Continuously Spoken Sentences", IEEE TASSP 1980.
"""

from typing import Any

import torch
from torch import Tensor

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._audio import AudioEncoder, Cepstrum, LogMel, framed, levelled
from mmbench.encoders._training_column import Standardise, scale
from mmbench.hookspecs import hookimpl
from mmbench.types import Column, Encoded, masked_mean

COEFFICIENTS, STRETCHES = 20, 4
EPSILON = 1e-6  # a root has an infinite slope at zero


class MFCCStatistics(AudioEncoder):
    """Of 20 coefficients: mean, deviation, deviation of differences, mean of each quarter."""

    name = "mfcc-statistics"
    frozen = True  # nothing to train

    def __init__(self, fitted: Fitted) -> None:
        super().__init__(fitted)
        self.mel, self.cepstrum = LogMel(), Cepstrum(COEFFICIENTS)
        self.standardise = Standardise(fitted)
        self.out_dim = len(fitted["mean"])

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """The level of the clips, and each statistic's mean and standard deviation."""
        found: dict[str, Any] = dict(super().fit(train))
        clips, real = levelled(cls.sample(train), found["level"])
        cepstrum, mask = Cepstrum(COEFFICIENTS)(LogMel()(clips)), framed(real)
        return found | scale(statistics(cepstrum, mask)[mask.any(1)], 1)

    def forward(self, inputs: Tensor) -> Encoded:
        clips, real = levelled(inputs, self.fitted["level"])
        mask = framed(real)
        found = statistics(self.cepstrum(self.mel(clips)), mask)
        return Encoded.vector(self.standardise(found), mask.any(1))


def statistics(cepstrum: Tensor, mask: Tensor) -> Tensor:
    """(clips, 7 × coefficients) of (clips, frames, coefficients), over the real frames."""
    mean = masked_mean(cepstrum, mask)
    deviation = (masked_mean((cepstrum - mean.unsqueeze(1)).square(), mask) + EPSILON).sqrt()
    moves = (masked_mean(cepstrum.diff(dim=1).square(), mask[:, 1:]) + EPSILON).sqrt()
    place = mask.cumsum(1) * STRETCHES  # quarters of what is real
    length = mask.sum(1, keepdim=True)
    parts = [
        masked_mean(cepstrum, mask & (place > k * length) & (place <= (k + 1) * length))
        for k in range(STRETCHES)
    ]
    return torch.cat([mean, deviation, moves, *parts], dim=1)


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [MFCCStatistics]
