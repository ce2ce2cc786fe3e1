"""Word dropout (Iyyer, Manjunatha, Boyd-Graber & Daumé, ACL 2015)."""

import torch
from torch import Tensor, nn


class WordDropout(nn.Module):
    """Each word is, with probability p, as if it had never been seen.

    Differs from the paper: a word is replaced, not taken out, so that the others keep their places.
    """

    def __init__(self, p: float, unknown: int) -> None:
        """``unknown``: the id of a word never seen; ids below it are no words."""
        super().__init__()
        self.p, self.unknown = p, unknown

    def forward(self, ids: Tensor) -> Tensor:
        """(texts, time) ids to the same."""
        if not self.training:
            return ids
        dropped = torch.rand(ids.shape, device=ids.device) < self.p
        return ids.masked_fill(dropped & (ids > self.unknown), self.unknown)
