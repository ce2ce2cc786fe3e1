"""Text-enhanced transformer fusion: one modality enhances whatever the others tell each other.

Wang, Guo, Tian, Liu, He & Luo, "TETFN: A Text Enhanced Transformer Fusion Network for Multimodal
Sentiment Analysis", Pattern Recognition 2023 (https://doi.org/10.1016/j.patcog.2022.109259).
Differs from the paper: any modality may take the place of text; a linear map and LayerNorm in place
of LSTM and convolution at the start; the mean over a target's tokens, where the paper reads the
last one; losses on single modalities are the affair of an objective.
"""

from collections.abc import Mapping
from typing import Annotated

from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions._attention import Layer
from mmbench.fusions._named import named
from mmbench.fusions.mult import MulTFusion
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice, Range
from mmbench.types import Features


class TETFNFusion(MulTFusion):
    """As ``mult``, but between modalities other than ``main`` only what main has enhanced is told.

    For a source β of a target α, neither of them main, the tokens of β first ask those of main in a
    layer of their own, one for each pair; those of α then ask the result. Main itself tells and is
    told as in ``mult``, which this would be with two modalities. ``main`` is a name, or the first
    by alphabet; where it is missing it enhances nothing.
    """

    name = "tetfn"
    capabilities = Capabilities(
        min_modalities=3, needs_sequences=True, handles_missing=True, interaction=True
    )

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: Annotated[int, Range(16, 64, log=True)] = 32,
        layers: Annotated[int, Range(1, 4)] = 1,
        heads: Annotated[int, Choice(1, 2, 4)] = 4,
        dropout: Annotated[float, Range(0.0, 0.5)] = 0.0,
        main: str = "",
    ) -> None:
        super().__init__(dims, width=width, layers=layers, heads=heads, dropout=dropout)
        self.main = named(main, sorted(dims), "tetfn.main")
        others = [m for m in dims if m != self.main]
        self.enhance = nn.ModuleDict(
            {
                target: nn.ModuleDict(
                    {s: Layer(width, heads, dropout) for s in others if s != target}
                )
                for target in others
            }
        )

    def _heard(
        self, target: str, source: str, tokens: Mapping[str, Tensor], features: Features
    ) -> Tensor:
        if self.main in (target, source):
            return tokens[source]
        enhance = self.enhance[target][source]  # type: ignore[index]
        return enhance(tokens[source], tokens[self.main], features[self.main].mask)  # type: ignore[no-any-return]


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [TETFNFusion]
