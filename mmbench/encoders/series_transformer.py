"""A small transformer over patches of a series.

Patches of steps as tokens: Nie, Nguyen, Sinthong & Kalagnanam, "A Time Series is Worth 64 Words",
ICLR 2023 (https://arxiv.org/abs/2211.14730); all channels of a step together, as in Zerveas,
Jayaraman, Patel, Bhamidipaty & Eickhoff, KDD 2021 (https://arxiv.org/abs/2010.02803).
Differs from both: layer normalisation, fixed positions, so that series may be of any length.
"""

from typing import Annotated

from torch import Tensor, nn

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._series import SeriesEncoder
from mmbench.encoders._transformer import Block, sinusoids
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice
from mmbench.types import Encoded


class SeriesTransformer(SeriesEncoder):
    """A token for every ``patch`` steps; pooled is the mean over real tokens."""

    name = "series-transformer"

    def __init__(
        self,
        fitted: Fitted,
        *,
        width: Annotated[int, Choice(32, 64, 128)] = 64,
        depth: Annotated[int, Choice(1, 2, 3)] = 1,
        patch: Annotated[int, Choice(4, 8, 16)] = 8,
    ) -> None:
        super().__init__(fitted)
        time, channels = fitted["shape"]
        self.patch = min(patch, max(1, time // 2))  # at least two tokens
        self.embed = nn.Linear(self.patch * channels, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.out_dim = width

    def forward(self, inputs: Tensor) -> Encoded:
        steps, mask = self.steps(inputs)
        missing = -steps.shape[1] % self.patch
        steps = nn.functional.pad(steps * mask.unsqueeze(-1), (0, 0, 0, missing))
        mask = nn.functional.pad(mask, (0, missing)).unflatten(1, (-1, self.patch)).any(-1)
        tokens = self.embed(steps.unflatten(1, (-1, self.patch)).flatten(2))
        tokens = tokens + sinusoids(tokens.shape[1], self.out_dim).to(tokens)
        seen = mask | ~mask.any(1, keepdim=True)  # of a missing series, all: no softmax of nothing
        for block in self.blocks:
            tokens = block(tokens, seen)
        return Encoded(self.norm(tokens), mask)


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [SeriesTransformer]
