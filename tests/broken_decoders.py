"""What can be wrong with a decoder."""

import torch

from mmbench.contracts import Decoder
from mmbench.heads.gru_decoder import GRUDecoder


class SeesWhatItIsToSay(GRUDecoder):
    """The target is not shifted: each place is told its own token."""

    def forward(self, fused, target=None):
        return super().forward(fused, None if target is None else target.roll(-1, 1))


class HearsNothing(Decoder):
    """All places at once, whatever was said before."""

    def __init__(self, in_dim, n_outputs, length):
        super().__init__(in_dim, n_outputs, length)
        self.linear = torch.nn.Linear(in_dim, n_outputs)

    def forward(self, fused, target=None):
        return self.linear(fused)


class GoesOnFromTheFirstToken(GRUDecoder):
    """By itself it goes on from token 0, whatever it has said."""

    def forward(self, fused, target=None):
        zeros = torch.zeros(len(fused), self.length, dtype=torch.long, device=fused.device)
        return super().forward(fused, zeros if target is None else target)
