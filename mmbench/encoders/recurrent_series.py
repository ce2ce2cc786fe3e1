"""A recurrent network over the steps of a series: one token per step, pooled at the last one.

GRU: Cho et al., EMNLP 2014. LSTM: Hochreiter & Schmidhuber, Neural Computation 1997.
"""

from typing import Annotated, ClassVar

from torch import Tensor, nn

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._recurrent import encoded_states
from mmbench.encoders._series import SeriesEncoder
from mmbench.hookspecs import hookimpl
from mmbench.space import Range
from mmbench.types import Encoded


class _RecurrentSeries(SeriesEncoder):
    """One layer, forward only; pooled is the state after the last real step."""

    batched = False  # torch cannot batch its own GRU and LSTM
    cell: ClassVar[type[nn.GRU] | type[nn.LSTM]]

    def __init__(
        self, fitted: Fitted, *, width: Annotated[int, Range(16, 256, log=True)] = 64
    ) -> None:
        super().__init__(fitted)
        self.network = self.cell(fitted["shape"][-1], width, batch_first=True)
        self.out_dim = width

    def forward(self, inputs: Tensor) -> Encoded:
        steps, mask = self.steps(inputs)
        states, _ = self.network(steps)  # (series, time, width)
        return encoded_states(states, mask)


class SeriesGRU(_RecurrentSeries):
    name = "gru-series"
    cell = nn.GRU


class SeriesLSTM(_RecurrentSeries):
    name = "lstm-series"
    cell = nn.LSTM
    offered = "gpu"


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [SeriesGRU, SeriesLSTM]
