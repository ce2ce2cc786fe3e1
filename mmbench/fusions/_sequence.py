"""What sequence fusions share: real tokens first, sequences stretched alike, recurrent reading."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from mmbench.fusions._attention import real
from mmbench.types import Encoded, Features


def compacted(tokens: Tensor, mask: Tensor) -> Tensor:
    """Tokens (batch, time, dim) with the real ones first, in their order; the rest as it comes."""
    if tokens.shape[1] == 1:
        return tokens  # plain vectors: the sort and the gather would cost more than their reading
    order = mask.int().argsort(dim=1, descending=True, stable=True)  # (batch, time)
    return tokens.gather(1, order.unsqueeze(-1).expand_as(tokens))


def stretched(encoded: Encoded, steps: Tensor, longest: int) -> Tensor:
    """The real tokens as a sequence of ``steps`` (batch,), at most ``longest``, each repeated.

    Of n real tokens, step t of T is token ⌊t · n / T⌋: a single token stands at every step, and n
    tokens at n steps stay as they are. (batch, longest, dim), zeros after the last step and for a
    missing modality.
    """
    tokens = compacted(real(encoded), encoded.mask)  # (batch, time, dim)
    counts = encoded.mask.sum(dim=1, keepdim=True)  # (batch, 1)
    step = torch.arange(longest, device=tokens.device).unsqueeze(0)  # (1, longest)
    within = (step < steps.unsqueeze(1)) & (counts > 0)  # (batch, longest)
    if tokens.shape[1] > 1:  # else the one token stands at every step
        which = step * counts // steps.unsqueeze(1).clamp(min=1)
        which = torch.where(within, which, 0).unsqueeze(-1).expand(-1, -1, tokens.shape[-1])
        tokens = tokens.gather(1, which)
    return torch.where(within.unsqueeze(-1), tokens, 0.0)


def aligned(features: Features, modalities: Iterable[str]) -> tuple[list[Tensor], Tensor]:
    """All modalities ``stretched`` to the longest one of each sample, in real tokens.

    Gives a sequence (batch, longest, dim) for each modality, and how many of its steps are real,
    (batch,): none where every modality is missing.
    """
    encoded = [features[m] for m in modalities]
    steps = torch.stack([e.mask.sum(dim=1) for e in encoded]).amax(dim=0)  # (batch,)
    longest = max(e.mask.shape[1] for e in encoded)
    return [stretched(e, steps, longest) for e in encoded], steps


def last(states: Tensor, steps: Tensor) -> Tensor:
    """Of states (batch, time, width) the one after ``steps`` (batch,); zeros after no step."""
    if states.shape[1] > 1:
        index = (steps - 1).clamp(min=0)[:, None, None].expand(-1, 1, states.shape[-1])
        states = states.gather(1, index)
    return torch.where((steps > 0).unsqueeze(1), states.squeeze(1), 0.0)


class Reader(nn.Module):
    """A GRU or LSTM over real tokens only: (batch, time, dim) to its last state (batch, width).

    Padding anywhere, in the middle too, is passed over; without any real token it gives zeros.
    """

    def __init__(self, dim: int, width: int, cell: str) -> None:
        super().__init__()
        kind = {"gru": nn.GRU, "lstm": nn.LSTM}[cell]
        self.recurrent = kind(dim, width, batch_first=True)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        states, _ = self.recurrent(compacted(tokens, mask))  # (batch, time, width)
        return last(states, mask.sum(dim=1))
