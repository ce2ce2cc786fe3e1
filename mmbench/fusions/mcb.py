"""Multimodal compact bilinear pooling.

Fukui et al., "Multimodal Compact Bilinear Pooling for Visual Question Answering and Visual
Grounding", EMNLP 2016 (https://arxiv.org/abs/1606.01847), with the count sketch of Charikar, Chen &
Farach-Colton, "Finding Frequent Items in Data Streams", ICALP 2002, and the convolution of
sketches by Pham & Pagh, "Fast and Scalable Polynomial Kernels via Explicit Feature Maps", KDD 2013.
Differs from the paper: more than two modalities have the products of every order, not only the
highest; 512 buckets by default, not 16000; the result has a root mean square of one, not a norm of
one.
"""

import zlib
from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Capabilities, Fusion
from mmbench.fusions._bilinear import multiplied, power_normalised
from mmbench.fusions._projection import pooled
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice
from mmbench.types import Features


class MCBFusion(Fusion):
    """``z = norm(F⁻¹(F(Ψ x) ⊙ F(Ψ y)))``: the count sketch of the outer product, never built.

    Of three or more it is ``norm(F⁻¹(∏_m (1 + F(Ψ_m x_m))))``, the sketch of the outer product of
    all ``[x_m; 1]``: one of the x_m alone would flip its sign with any of them, and hide what two
    say together. ``norm`` is signed square root, then unit root mean square. Nothing here is
    trained: the hashes of Ψ are drawn from a seed that is the modality's name. A missing modality
    is the neutral element of convolution, and the sketch of the others remains.
    """

    name = "mcb"
    offered = "named"
    capabilities = Capabilities(min_modalities=2, handles_missing=True, interaction=True)

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        width: Annotated[int, Choice(128, 256, 512, 1024, 2048, 4096)] = 512,
    ) -> None:
        super().__init__(dims)
        self.sketches = nn.ModuleDict({m: _Sketch(m, d, width) for m, d in dims.items()})
        # its transform is 1 throughout
        one = torch.nn.functional.pad(torch.ones(1), (0, width - 1))
        self.register_buffer("one", one, persistent=False)
        self.one: Tensor
        self.out_dim = width

    def forward(self, features: Features) -> Tensor:
        spectra = [self._spectrum(m, features) for m in self.dims]  # each (batch, width / 2 + 1)
        joint = torch.fft.irfft(multiplied(spectra), n=self.out_dim)  # (batch, width)
        return power_normalised(joint).to(features[next(iter(self.dims))].pooled.dtype)

    def _spectrum(self, modality: str, features: Features) -> Tensor:
        sketch = self.sketches[modality](_wide(pooled(features[modality])))
        if len(self.dims) == 2:  # a missing modality leaves the other as it is
            sketch = torch.where(features[modality].present.unsqueeze(1), sketch, self.one)
        else:  # the sketch of [x; 1]: its last entry is in bucket 0, sign +
            sketch = sketch + self.one
        spectrum: Tensor = torch.fft.rfft(sketch)
        return spectrum


class _Sketch(nn.Module):
    """Count sketch (batch, dim) to (batch, width): entry i, with sign s_i, is added to bucket h_i.

    Hashes are buffers: they move and are saved with the model, and are the same for every seed.
    """

    buckets: Tensor
    signs: Tensor

    def __init__(self, modality: str, dim: int, width: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(zlib.crc32(modality.encode()))
        self.register_buffer("buckets", torch.randint(width, (dim,), generator=generator))
        signs = 2.0 * torch.randint(2, (dim,), generator=generator) - 1.0
        self.register_buffer("signs", signs)
        self.width = width

    def forward(self, vector: Tensor) -> Tensor:
        empty = vector.new_zeros(vector.shape[0], self.width)
        return empty.index_add(1, self.buckets, vector * self.signs.to(vector.dtype))


def _wide(vector: Tensor) -> Tensor:
    """At least float32: there is no Fourier transform of bfloat16."""
    return vector.to(torch.promote_types(vector.dtype, torch.float32))


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [MCBFusion]
