"""Late fusion: the average of what each modality's own head says.

Kittler, Hatef, Duin & Matas, "On Combining Classifiers", IEEE TPAMI 1998: ``probabilities`` is its
sum rule, ``logits`` its product rule (a mean of logits is the geometric mean of probabilities).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from mmbench.contracts import Capabilities, Fused, Fusion
from mmbench.errors import InvalidParameter
from mmbench.fusions._projection import presence
from mmbench.hookspecs import hookimpl
from mmbench.types import Features


class LateAverageFusion(Fusion):
    """``z = mean of s_m over present modalities``, s_m the outputs (batch, n_outputs) of m's head.

    ``of="probabilities"`` averages softmax(s_m) and returns its logarithm. It is for exclusive
    classes only, which a fusion cannot know: so it can be set but is not searched. With no modality
    present the outputs are zeros.
    """

    name = "late-average"
    capabilities = Capabilities(level="decision", handles_missing=True)

    def __init__(self, dims: Mapping[str, int], *, of: str = "logits") -> None:
        super().__init__(dims)
        self.of, self.out_dim = of, next(iter(dims.values()))
        if of not in ("logits", "probabilities"):
            raise InvalidParameter(
                f"late-average.of = {of!r} is unknown. Allowed: 'logits', 'probabilities'."
            )
        if of == "probabilities" and self.out_dim == 1:
            raise InvalidParameter(
                "late-average.of = 'probabilities' takes two or more exclusive classes; this task "
                "has one output. Use of = 'logits'."
            )

    def forward(self, features: Features) -> Fused:
        present = presence(features, self.dims)  # (batch, modality)
        scores = torch.stack([features[m].pooled for m in self.dims], dim=1)
        scores = torch.where(present.unsqueeze(-1), scores, 0.0)  # (batch, modality, n_outputs)
        there = present.to(scores.dtype)
        count = there.sum(dim=1, keepdim=True).clamp(min=1)
        weights = there / count
        if self.of == "logits":
            return Fused(scores.sum(dim=1) / count, weights=weights)
        return Fused(self._mixed(scores, weights, present), weights=weights)

    @staticmethod
    def _mixed(scores: Tensor, weights: Tensor, present: Tensor) -> Tensor:
        """The logarithm of the average of probabilities."""
        lowest = torch.finfo(scores.dtype).min
        log_weights = torch.where(present, weights.clamp(min=1e-6).log(), lowest)
        mixed = torch.logsumexp(scores.log_softmax(-1) + log_weights.unsqueeze(-1), dim=1)
        return torch.where(present.any(dim=1, keepdim=True), mixed, 0.0)


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [LateAverageFusion]
