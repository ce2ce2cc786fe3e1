"""FT-Transformer: every field of a table is a token, and a transformer relates them.

Gorishniy, Rubachev, Khrulkov & Babenko, "Revisiting Deep Learning Models for Tabular Data",
NeurIPS 2021 (https://arxiv.org/abs/2106.11959).
Differs from the paper: the blocks are those of the other transformers here (GELU instead of ReGLU,
no dropout, normalised in the first block too).
"""

from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._fields import FieldEncoder, uniform
from mmbench.encoders._transformer import Block
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice
from mmbench.types import Encoded


class FTTransformer(FieldEncoder):
    """A token for the row, which pooled is read from, and one for each field.

    A field's token is a bias plus the number times a vector, or plus the vector of the category.
    """

    name = "ft-transformer"
    emits_sequences = True
    offered = "gpu"

    def __init__(
        self,
        fitted: Fitted,
        *,
        width: Annotated[int, Choice(32, 64, 128)] = 64,
        depth: Annotated[int, Choice(1, 2, 3)] = 2,
    ) -> None:
        super().__init__(fitted)
        member = torch.zeros(len(self.fields), self.out_dim)
        for place, columns in enumerate(self.fields):
            member[place, columns] = 1.0
        self.register_buffer("member", member, persistent=False)
        self.member: Tensor  # (fields, columns), 1 where a column is of a field
        self.vectors = uniform(self.out_dim, width, fan_in=width)
        self.biases = uniform(len(self.fields), width, fan_in=width)
        self.row = uniform(width, fan_in=width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.out_dim = width

    def forward(self, inputs: Tensor) -> Encoded:
        tokens = self.tokens(self.cells(inputs))
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Encoded(tokens, mask, tokens[:, 0])

    def tokens(self, cells: Tensor) -> Tensor:
        """(rows, 1 + fields, width) from (rows, columns)."""
        fields = (cells.unsqueeze(1) * self.member) @ self.vectors + self.biases
        row = self.row.expand(cells.shape[0], 1, -1)
        return torch.cat([row, fields], dim=1)


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [FTTransformer]
