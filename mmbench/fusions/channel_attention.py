"""Channel attention, then activation fusion.

The attention of Hu, Shen & Sun, "Squeeze-and-Excitation Networks", CVPR 2018
(https://arxiv.org/abs/1709.01507), on one modality before the activation fusion of Chen et al.,
MDFNet, 2023 (see ``activation``), as the library fusilli does it on vectors; there its weights were
drawn anew at each pass, here they are trained.
Differs from the paper: a vector has nothing to average over, so the squeeze is the vector itself.
"""

from collections.abc import Mapping
from typing import Annotated

from torch import Tensor, nn

from mmbench.contracts import Fusion
from mmbench.fusions._named import named
from mmbench.fusions._projection import pooled
from mmbench.fusions.activation import ActivationFusion
from mmbench.hookspecs import hookimpl
from mmbench.space import Range
from mmbench.types import Encoded, Features


class ChannelAttentionFusion(ActivationFusion):
    """As ``activation``, with ``x ← x ⊙ σ(W_2 ReLU(W_1 x))`` for one modality before it.

    W_1 has dim / ``ratio`` rows, one at least. The modality is ``attended``, or the first of
    ``dims`` that is not ``main``.
    """

    name = "channel-attention"

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
        ratio: Annotated[int, Range(1, 16, log=True)] = 4,
        main: str = "",
        attended: str = "",
    ) -> None:
        super().__init__(dims, width=width, main=main)
        order = sorted(dims, key=lambda m: list(dims).index(m) == self.main)  # the main one last
        self.attended = named(attended, order, "channel-attention.attended")
        dim = dims[self.attended]
        squeezed = max(dim // ratio, 1)
        self.excite = nn.Sequential(
            nn.Linear(dim, squeezed, bias=False),
            nn.ReLU(),
            nn.Linear(squeezed, dim, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, features: Features) -> Tensor:
        encoded = features[self.attended]
        vector = pooled(encoded)
        excited = Encoded(encoded.tokens, encoded.mask, vector * self.excite(vector))
        return super().forward({**features, self.attended: excited})


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [ChannelAttentionFusion]
