"""A sequence token by token: a gated recurrent unit that sees the fused vector at every place.

Cho, van Merriënboer, Gulcehre, Bahdanau, Bougares, Schwenk & Bengio, "Learning Phrase
Representations using RNN Encoder-Decoder for Statistical Machine Translation", EMNLP 2014
(https://arxiv.org/abs/1406.1078); of images by Vinyals, Toshev, Bengio & Erhan, "Show and Tell: A
Neural Image Caption Generator", CVPR 2015 (https://arxiv.org/abs/1411.4555).
Differs from the papers: logits are linear in the state, without maxout; the reset gate is applied
after the state's linear map, as in cuDNN; the likeliest token is said at each place, without a
beam.
"""

from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbench.contracts import Decoder, Head
from mmbench.hookspecs import hookimpl
from mmbench.space import Range


class GRUDecoder(Decoder):
    """``h_t = GRU([e(y_{t-1}); z], h_{t-1})``, ``h_0 = tanh(V z)``, logits ``W dropout(h_t)``.

    z is the fused vector, y_0 a token of its own that begins a sequence.
    """

    name = "gru-decoder"

    def __init__(
        self,
        in_dim: int,
        n_outputs: int,
        length: int,
        *,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
        dropout: Annotated[float, Range(0.0, 0.5)] = 0.1,
    ) -> None:
        super().__init__(in_dim, n_outputs, length)
        self.start = nn.Linear(in_dim, width)
        self.words = nn.Embedding(self.n_tokens + 1, width)  # the last one begins
        self.context = nn.Linear(in_dim, 3 * width)  # the same at each place, and so done once
        self.word = nn.Linear(width, 3 * width, bias=False)
        self.state = nn.Linear(width, 3 * width)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, self.n_tokens)

    def forward(self, fused: Tensor, target: Tensor | None = None) -> Tensor:
        context, state = self.context(fused), self.start(fused).tanh()
        words = self.word(self.words.weight)  # (tokens + 1, 3 width)
        word = torch.full_like(fused[:, 0], self.n_tokens, dtype=torch.long)  # (batch,)
        places = []
        for place in range(self.length):
            state = gated(F.embedding(word, words) + context, self.state(state), state)
            places.append(self.out(self.dropout(state)))  # (batch, tokens)
            word = places[-1].argmax(-1) if target is None else target[:, place]
        return torch.cat(places, dim=1)


def gated(seen: Tensor, remembered: Tensor, state: Tensor) -> Tensor:
    """The unit: what it sees and remembers (batch, 3 width), for the gates and the new state."""
    sizes = [2 * state.shape[-1], state.shape[-1]]
    (gates_seen, new_seen), (gates_kept, new_kept) = (
        part.split(sizes, dim=-1) for part in (seen, remembered)
    )
    reset, kept = torch.sigmoid(gates_seen + gates_kept).chunk(2, dim=-1)
    return torch.lerp(torch.tanh(new_seen + reset * new_kept), state, kept)


@hookimpl
def register_heads() -> list[type[Head]]:
    return [GRUDecoder]
