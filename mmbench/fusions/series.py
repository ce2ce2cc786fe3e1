"""Fusion in series: what one modality's network found feeds the next modality's.

The cascade of Gama & Brazdil, "Cascade Generalization", Machine Learning 2000, where a
learner's inputs are extended by the output of the one before it.
Differs from the paper: one learner per modality; the representation is handed on, not class
probabilities, and all stages train together.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fusion
from mmbench.errors import InvalidParameter
from mmbench.fusions._projection import pooled
from mmbench.hookspecs import hookimpl
from mmbench.space import Range
from mmbench.types import Features


class SeriesFusion(Fusion):
    """``h ← LayerNorm(GELU(W_m [x_m; h]))`` for each modality m in turn, from h = 0; ``z = h``.

    The order is that of ``dims``, or ``order``, all names with commas between: the last modality
    has the last word. A missing modality hands on h as it is.
    """

    name = "series"
    offered = "named"
    capabilities = Capabilities(handles_missing=True, interaction=True)

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
        order: str = "",
    ) -> None:
        super().__init__(dims)
        chain = [m.strip() for m in order.split(",")] if order else list(dims)
        if sorted(chain) != sorted(dims):
            raise InvalidParameter(
                f"series.order = {order!r} must name each modality once: {', '.join(dims)}."
            )
        self.stages = nn.ModuleDict(
            {m: _stage(dims[m] + (width if i else 0), width) for i, m in enumerate(chain)}
        )
        self.out_dim = width

    def forward(self, features: Features) -> Tensor:
        (start, stage), *others = self.stages.items()
        first = features[start]
        hidden = torch.where(first.present.unsqueeze(1), stage(pooled(first)), 0.0)
        for m, stage in others:
            joined = torch.cat([pooled(features[m]), hidden], dim=-1)  # (batch, dim + width)
            hidden = torch.where(features[m].present.unsqueeze(1), stage(joined), hidden)
        return hidden  # (batch, width)


def _stage(dim: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(dim, width), nn.GELU(), nn.LayerNorm(width))


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [SeriesFusion]
