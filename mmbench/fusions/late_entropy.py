"""Late fusion weighted by how undecided each modality's own head is.

The test-time fusion of MLA: Zhang, Yoon, Bansal & Yao, "Multimodal Representation Learning by
Alternating Unimodal Adaptation", CVPR 2024 (https://arxiv.org/abs/2311.10707); the paradigm itself
is the objective ``mla``.
Differs from the paper: it may also be trained through, and the weights then get no gradient.
"""

from collections.abc import Mapping

from torch import Tensor

from mmbench.contracts import Capabilities, Fused, Fusion
from mmbench.fusions._decisions import EXCLUSIVE, decisions, several_outputs, softmax_over_present
from mmbench.fusions._projection import presence
from mmbench.hookspecs import hookimpl
from mmbench.types import Features


class LateEntropyFusion(Fusion):
    """``z = Σ_m w_m s_m`` over present modalities, w the softmax of ``−H_m`` over them.

    ``H_m = −Σ_c p_mc log p_mc``, in nats, is the entropy of ``p_m = softmax(s_m)``. It is for
    exclusive classes. With no modality present the outputs are zeros.
    """

    name = "late-entropy"
    offered = "named"
    capabilities = Capabilities(level="decision", handles_missing=True, targets=EXCLUSIVE)

    def __init__(self, dims: Mapping[str, int]) -> None:
        super().__init__(dims)
        self.out_dim = several_outputs(dims, "late-entropy")

    def forward(self, features: Features) -> Fused:
        present = presence(features, self.dims)  # (batch, modality)
        scores = decisions(features, self.dims, present)  # (batch, modality, n_outputs)
        weights = softmax_over_present(-_entropy(scores.detach()), present)
        return Fused((weights.unsqueeze(-1) * scores).sum(dim=1), weights=weights)


def _entropy(scores: Tensor) -> Tensor:
    """(batch, modality), in nats."""
    return -(scores.softmax(dim=-1) * scores.log_softmax(dim=-1)).sum(dim=-1)


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [LateEntropyFusion]
