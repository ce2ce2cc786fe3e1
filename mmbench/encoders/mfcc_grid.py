"""Mel-frequency cepstral coefficients over time: how a word sounds, without training.

Each clip is brought to one length, as the first recognisers of words did: coefficients of Davis &
Mermelstein (IEEE TASSP 1980), linear in time (Sakoe & Chiba, "Dynamic Programming Algorithm
Optimization for Spoken Word Recognition", IEEE TASSP 1978, warp it beyond that), between endpoints
found by level, as Rabiner & Sambur, "An Algorithm for Determining the Endpoints of Isolated
Utterances", Bell System Technical Journal 1975, begin to.
Differs from them: in noise, where levels tell nothing, the whole clip counts.
"""

from typing import Annotated, Any

import torch
from torch import Tensor

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._audio import AudioEncoder, Cepstrum, LogMel, framed, levelled
from mmbench.encoders._training_column import Standardise, scale
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice
from mmbench.types import Column, Encoded

COEFFICIENTS = 14
QUIET, LOUD = 0.05, 0.95
"""Shares of a clip's frames that are at most as loud as its quiet, and as its loud."""
CONTRAST = 2.0
"""Nats of band power (9 dB) between the two from which on levels tell speech from silence."""
ABOVE = 0.3
"""How far from quiet to loud a frame must be to be an end of what is said."""


class MFCCGrid(AudioEncoder):
    """14 coefficients, the mean of each over each of ``parts`` equal stretches of what is said."""

    name = "mfcc-grid"
    frozen = True  # nothing to train

    def __init__(self, fitted: Fitted, *, parts: Annotated[int, Choice(12, 24, 48)] = 24) -> None:
        super().__init__(fitted)
        self.parts = parts
        self.mel, self.cepstrum = LogMel(), Cepstrum(COEFFICIENTS)
        self.standardise = Standardise(fitted)
        self.out_dim = parts * COEFFICIENTS

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """The level of the clips, and each coefficient's mean and deviation over all frames."""
        found: dict[str, Any] = dict(super().fit(train))
        clips, real = levelled(cls.sample(train), found["level"])
        return found | scale(Cepstrum(COEFFICIENTS)(LogMel()(clips)[framed(real)]), 1)

    def forward(self, inputs: Tensor) -> Encoded:
        clips, real = levelled(inputs, self.fitted["level"])
        mel, mask = self.mel(clips), framed(real)
        coefficients = self.standardise(self.cepstrum(mel)) * mask.unsqueeze(-1)
        first, last = spoken(mel.mean(2), mask)
        grid = stretches(coefficients, first, last, self.parts)
        return Encoded.vector(grid.flatten(1), mask.any(1))


def spoken(level: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """(clips,) the first frame of what is said and the one behind the last, of (clips, frames)."""
    ordered = level.masked_fill(~mask, torch.inf).sort(1).values
    steps = (mask.sum(1, keepdim=True) - 1).clamp(min=0)
    quiet, loud = (ordered.gather(1, (q * steps).round().long()) for q in (QUIET, LOUD))
    clear = loud - quiet >= CONTRAST  # False of a clip that is missing: infinity less infinity
    loud_enough = (level > quiet + ABOVE * (loud - quiet)) & mask
    on = torch.where(clear, loud_enough.long(), mask.long())
    return on.argmax(1), on.shape[1] - on.flip(1).argmax(1)


def stretches(values: Tensor, first: Tensor, last: Tensor, parts: int) -> Tensor:
    """(clips, parts, features) means of (clips, frames, features) over equal stretches of time.

    A frame that lies across the border of two counts in both, by its shares.
    """
    sums = torch.nn.functional.pad(values.cumsum(1), (0, 0, 1, 0))  # (clips, frames + 1, features)
    share = torch.arange(parts + 1, device=values.device) / parts
    borders = first.unsqueeze(1) + share * (last - first).unsqueeze(1)
    before = borders.long().clamp(max=values.shape[1] - 1)
    rows = torch.arange(values.shape[0], device=values.device).unsqueeze(1)
    part = (borders - before).unsqueeze(-1)
    reached = torch.lerp(sums[rows, before], sums[rows, before + 1], part.to(sums.dtype))
    width = (last - first).clamp(min=1)[:, None, None] / parts
    return reached.diff(dim=1) / width


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [MFCCGrid]
