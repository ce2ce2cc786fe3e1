"""A small transformer over words (Vaswani et al., NeurIPS 2017), trained from scratch."""

from typing import Annotated

from torch import Tensor, nn

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._transformer import Block, sinusoids
from mmbench.encoders._words import PADDING, TextEncoder, word_embedding
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice
from mmbench.types import Encoded


class TextTransformer(TextEncoder):
    """Word vectors plus sinusoidal positions, then blocks; pooled is the mean over real words."""

    name = "text-transformer"
    emits_sequences = True

    def __init__(
        self,
        fitted: Fitted,
        *,
        width: Annotated[int, Choice(32, 64, 128)] = 64,
        depth: Annotated[int, Choice(1, 2, 3)] = 1,
        max_words: int = 64,
    ) -> None:
        super().__init__(fitted, max_words)
        self.embed = word_embedding(fitted, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.out_dim = width

    def forward(self, inputs: Tensor) -> Encoded:
        mask = inputs != PADDING
        tokens = self.embed(inputs) + sinusoids(inputs.shape[1], self.out_dim).to(inputs.device)
        for block in self.blocks:
            tokens = block(tokens, mask)
        return Encoded(self.norm(tokens), mask)


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [TextTransformer]
