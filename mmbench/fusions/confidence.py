"""Confidence-weighted late fusion (QMF).

Zhang, Wu, Zhang, Hu, Fu, Zhou & Peng, "Provable Dynamic Fusion for Low-Quality Multimodal Data",
ICML 2023 (https://arxiv.org/abs/2306.02050): a head whose outputs have low energy, so a large
log-sum-exp, is confident. As in the authors' code the weight is a tenth of the log-sum-exp and gets
no gradient.
Differs from the paper: without its regulariser, which ranks confidences by each sample's loss in
past epochs (a fusion keeps no history); ``softmax`` weights that are positive and sum to one.
"""

from collections.abc import Mapping
from typing import Annotated

from torch import Tensor

from mmbench.contracts import Capabilities, Fused, Fusion
from mmbench.fusions._decisions import EXCLUSIVE, decisions, several_outputs, softmax_over_present
from mmbench.fusions._projection import presence
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice, Range
from mmbench.types import Features

ENERGY_SCALE = 10.0
"""The authors divide the log-sum-exp by it."""


class ConfidenceFusion(Fusion):
    """``z = Σ_m c_m s_m`` over present modalities, ``e_m = T log Σ_o exp(s_mo / T)``.

    ``weights="linear"``: ``c_m = e_m / 10``, as published; it is negative, and turns a head's word
    around, where all its outputs are far below zero. ``weights="softmax"``: c is the softmax of e
    over the present modalities. It is for exclusive classes. With no modality present the outputs
    are zeros.
    """

    name = "confidence"
    offered = "named"
    capabilities = Capabilities(level="decision", handles_missing=True, targets=EXCLUSIVE)

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        weights: Annotated[str, Choice("linear", "softmax")] = "linear",
        temperature: Annotated[float, Range(1.0, 4.0, log=True)] = 1.0,
    ) -> None:
        super().__init__(dims)
        self.out_dim = several_outputs(dims, "confidence")
        self.weights, self.temperature = weights, temperature

    def forward(self, features: Features) -> Fused:
        present = presence(features, self.dims)  # (batch, modality)
        scores = decisions(features, self.dims, present)  # (batch, modality, n_outputs)
        weights = self._confidence(scores.detach(), present)  # (batch, modality)
        return Fused((weights.unsqueeze(-1) * scores).sum(dim=1), weights=weights)

    def _confidence(self, scores: Tensor, present: Tensor) -> Tensor:
        energy = self.temperature * (scores / self.temperature).logsumexp(dim=-1)
        if self.weights == "linear":
            return energy / ENERGY_SCALE * present
        return softmax_over_present(energy, present)


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [ConfidenceFusion]
