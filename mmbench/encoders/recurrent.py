"""Word vectors through a recurrent network: one token per word, pooled at the last word.

GRU: Cho et al., EMNLP 2014. LSTM: Hochreiter & Schmidhuber, Neural Computation 1997.
"""

from typing import Annotated, ClassVar

from torch import Tensor, nn

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._recurrent import encoded_states
from mmbench.encoders._words import PADDING, TextEncoder, word_embedding
from mmbench.hookspecs import hookimpl
from mmbench.space import Range
from mmbench.types import Encoded


class _Recurrent(TextEncoder):
    """One layer, forward only."""

    emits_sequences = True
    batched = False  # torch cannot batch its own GRU and LSTM
    cell: ClassVar[type[nn.GRU] | type[nn.LSTM]]

    def __init__(
        self,
        fitted: Fitted,
        *,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
        max_words: int = 64,
    ) -> None:
        super().__init__(fitted, max_words)
        self.embed = word_embedding(fitted, width)
        self.network = self.cell(width, width, batch_first=True)
        self.out_dim = width

    def forward(self, inputs: Tensor) -> Encoded:
        states, _ = self.network(self.embed(inputs))  # (texts, time, width)
        return encoded_states(states, inputs != PADDING)


class TextGRU(_Recurrent):
    name = "gru"
    cell = nn.GRU


class TextLSTM(_Recurrent):
    name = "lstm"
    cell = nn.LSTM


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [TextGRU, TextLSTM]
