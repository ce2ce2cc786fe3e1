"""Early concatenation: aligned sequences side by side, step by step, then one sequence model.

EF-LSTM, the baseline of Zadeh et al., "Memory Fusion Network for Multi-view Sequential Learning",
AAAI 2018 (https://arxiv.org/abs/1802.00927) and of much that followed.
Differs from the paper: sequences of unequal lengths are stretched to the longest one (the paper's
data is aligned by words); a GRU or a convolution over time in place of the LSTM; LayerNorm.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions._sequence import Reader, aligned
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice, Range
from mmbench.types import Features, masked_mean


class ConcatEarlyFusion(Fusion):
    """``z = LayerNorm(Model([A_1 ‖ … ‖ A_M]))``, A_m the tokens of m aligned to T steps.

    T is the sample's longest modality, in real tokens; of m's n tokens step t takes ⌊t · n / T⌋. So
    sequences of one length stay as they are, and a plain vector stands at every step. ``gru`` reads
    the last state; ``conv`` is the mean over steps of GELU(conv of kernel 3). A missing modality is
    zeros at every step.
    """

    name = "concat-early"
    offered = "named"
    # not batched: torch has no vmap rule for its own GRU, and a loop in Python is slower
    capabilities = Capabilities(handles_missing=True, interaction=True, batched=False)

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
        model: Annotated[str, Choice("gru", "conv")] = "gru",
    ) -> None:
        super().__init__(dims)
        total = sum(dims.values())
        self.model = Reader(total, width, "gru") if model == "gru" else _Convolution(total, width)
        self.norm = nn.LayerNorm(width)
        self.out_dim = width

    def forward(self, features: Features) -> Tensor:
        streams, steps = aligned(features, self.dims)
        longest = streams[0].shape[1]
        mask = torch.arange(longest, device=steps.device) < steps.unsqueeze(1)  # (batch, longest)
        read = self.model(torch.cat(streams, dim=-1), mask)  # (batch, width)
        return self.norm(read)  # type: ignore[no-any-return]


class _Convolution(nn.Module):
    """(batch, time, dim) to (batch, width): the mean of a convolution over real steps."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(dim, width, kernel_size=3, padding=1)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        hidden = nn.functional.gelu(self.convolution(tokens.transpose(1, 2)))
        return masked_mean(hidden.transpose(1, 2), mask)


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [ConcatEarlyFusion]
