"""A gated recurrent network over the steps of a series (Cho et al., EMNLP 2014)."""

from typing import Annotated

from torch import Tensor, nn

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._recurrent import encoded_states
from mmbench.encoders._series import SeriesEncoder
from mmbench.hookspecs import hookimpl
from mmbench.space import Range
from mmbench.types import Encoded


class SeriesGRU(SeriesEncoder):
    """One layer, forward only; pooled is the state after the last real step."""

    name = "gru-series"
    batched = False  # torch cannot batch its own GRU

    def __init__(
        self, fitted: Fitted, *, width: Annotated[int, Range(16, 256, log=True)] = 64
    ) -> None:
        super().__init__(fitted)
        self.network = nn.GRU(fitted["shape"][-1], width, batch_first=True)
        self.out_dim = width

    def forward(self, inputs: Tensor) -> Encoded:
        steps, mask = self.steps(inputs)
        states, _ = self.network(steps)  # (series, time, width)
        return encoded_states(states, mask)


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [SeriesGRU]
