"""Dual encoders: both modalities in one space, where what belongs together is near.

Frome, Corrado, Shlens, Bengio, Dean, Ranzato & Mikolov, "DeViSE: A Deep Visual-Semantic Embedding
Model", NeurIPS 2013; with both towers trained, Faghri, Fleet, Kiros & Fidler, "VSE++", BMVC 2018
(https://arxiv.org/abs/1707.05612), and Radford et al., CLIP, ICML 2021
(https://arxiv.org/abs/2103.00020).
"""

from collections.abc import Mapping
from typing import Annotated, Any

from torch import Tensor
from torch.nn import functional as F

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions._decisions import decisions
from mmbench.fusions._projection import presence
from mmbench.hookspecs import hookimpl
from mmbench.space import Range
from mmbench.types import Features

EPSILON = 1e-6
WIDTH = 64


class DualFusion(Fusion):
    """``z = (u / |u|, v / |v|)``: what each modality's own head gives, at length one, side by side.

    The inner product of two embeddings is the cosine of their angle. A missing modality has zeros,
    which are equally far from everything.
    """

    name = "dual"
    capabilities = Capabilities(
        min_modalities=2,
        max_modalities=2,
        handles_missing=True,
        level="decision",
        targets=frozenset({"retrieval"}),
    )

    def __init__(
        self, dims: Mapping[str, int], *, width: Annotated[int, Range(16, 256, log=True)] = WIDTH
    ) -> None:
        """``width`` of an embedding: the framework has the heads give so many numbers."""
        super().__init__(dims)
        self.width = width
        self.out_dim = sum(dims.values())

    @classmethod
    def decides(cls, n_outputs: int, **params: Any) -> int:  # noqa: ARG003
        return int(params.get("width", WIDTH))

    def forward(self, features: Features) -> Tensor:
        vectors = decisions(features, self.dims, presence(features, self.dims))
        return F.normalize(vectors, dim=-1, eps=EPSILON).flatten(1)  # (batch, 2 × width)


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [DualFusion]
