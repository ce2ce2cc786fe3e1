"""Memory fusion network: an LSTM per modality, and a memory of what happens across them.

Zadeh, Liang, Mazumder, Poria, Cambria & Morency, "Memory Fusion Network for Multi-view Sequential
Learning", AAAI 2018 (https://arxiv.org/abs/1802.00927).
Differs from the paper: sequences of unequal lengths are stretched to the longest one (the paper's
data is aligned by words); attention coefficients are scaled to a mean of one, for as a softmax over
hundreds of entries they would start at hundredths; all LSTMs have one width; LayerNorm at the end.
As in the paper the memory's gates read what was attended to, not the memory itself as in its code,
so that all but the recurrences is computed for all steps at once.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions._sequence import aligned, last
from mmbench.hookspecs import hookimpl
from mmbench.space import Range
from mmbench.types import Features


class Crossing(nn.Module):
    """Finds what happens across modalities from their LSTMs' cells before and after each step.

    It takes changes (batch, time, modality, 2 × width) and gives (batch, time, out_dim).
    """

    def __init__(self, out_dim: int) -> None:
        super().__init__()
        self.out_dim = out_dim


class DeltaAttention(Crossing):
    """``ĉ = a ⊙ [c^(t−1); c^t]``, ``a = n softmax(D_a [c^(t−1); c^t])`` over all n entries."""

    def __init__(self, modalities: int, width: int) -> None:
        super().__init__(2 * modalities * width)
        self.attention = perceptron(self.out_dim, width, self.out_dim)

    def forward(self, changes: Tensor) -> Tensor:
        joined = changes.flatten(2)
        weights: Tensor = self.out_dim * self.attention(joined).softmax(dim=-1)
        return weights * joined


class MFNFusion(Fusion):
    """``z = LayerNorm([h_1; …; h_M; u])`` after the last step.

    An LSTM reads each modality; at each step, attention over the cells of all of them before and
    after it gives ĉ, and the memory is ``u ← σ(D_1 ĉ) ⊙ u + σ(D_2 ĉ) ⊙ tanh(D_u ĉ)`` from u = 0.
    Each D has one hidden layer. Of m's n tokens step t of T takes ⌊t · n / T⌋, T the sample's
    longest modality, so that a plain vector stands at every step. A missing one is zeros.
    """

    name = "mfn"
    offered = "named"
    capabilities = Capabilities(min_modalities=2, handles_missing=True, interaction=True)
    crossing: ClassVar[Callable[[int, int], Crossing]] = DeltaAttention

    def __init__(
        self, dims: Mapping[str, int], *, width: Annotated[int, Range(16, 256, log=True)] = 64
    ) -> None:
        super().__init__(dims)
        self.lstms = LSTMs(dims, width)
        self.across = type(self).crossing(len(dims), width)
        self.memory = GatedMemory(self.across.out_dim, width)
        self.out_dim = (len(dims) + 1) * width
        self.norm = nn.LayerNorm(self.out_dim)

    def forward(self, features: Features) -> Tensor:
        streams, steps = aligned(features, self.dims)
        hidden, cells = self.lstms(streams)  # (batch, time, modality, width)
        before = nn.functional.pad(cells, (0, 0, 0, 0, 1, -1))  # one step later, from zeros
        memory = self.memory(self.across(torch.cat([before, cells], dim=-1)))
        states = torch.cat([hidden.flatten(2), memory], dim=-1)  # (batch, time, out_dim)
        return self.norm(last(states, steps))  # type: ignore[no-any-return]


class LSTMs(nn.Module):
    """An LSTM of its own for each modality, side by side in one loop over time.

    Sequences (batch, time, dim of m) to hidden states and cells (batch, time, modality, width).
    """

    def __init__(self, dims: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.inputs = nn.ModuleDict({m: nn.Linear(d, 4 * width) for m, d in dims.items()})
        self.recurrent = nn.Parameter(torch.empty(len(dims), width, 4 * width))
        nn.init.uniform_(self.recurrent, -(width**-0.5), width**-0.5)

    def forward(self, streams: list[Tensor]) -> tuple[Tensor, Tensor]:
        given = torch.stack([f(x) for f, x in zip(self.inputs.values(), streams, strict=True)])
        hidden = cell = torch.zeros_like(given[:, :, 0].chunk(4, dim=-1)[0])  # (M, batch, width)
        states = []
        for step in given.unbind(dim=2):
            enter, keep, new, out = (step + hidden @ self.recurrent).chunk(4, dim=-1)
            cell = keep.sigmoid() * cell + enter.sigmoid() * new.tanh()
            hidden = out.sigmoid() * cell.tanh()
            states.append((hidden, cell))
        hiddens, cells = (torch.stack(s).permute(2, 0, 1, 3) for s in zip(*states, strict=True))
        return hiddens, cells


class GatedMemory(nn.Module):
    """(batch, time, dim) to the memory (batch, time, width) after each step."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.keep, self.enter, self.new = (perceptron(dim, width, width) for _ in range(3))

    def forward(self, found: Tensor) -> Tensor:
        kept = self.keep(found).sigmoid()
        written = self.enter(found).sigmoid() * self.new(found).tanh()
        memory, states = torch.zeros_like(written[:, 0]), []
        for share, entry in zip(kept.unbind(dim=1), written.unbind(dim=1), strict=True):
            memory = share * memory + entry
            states.append(memory)
        return torch.stack(states, dim=1)


def perceptron(dim: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, out))


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [MFNFusion]
