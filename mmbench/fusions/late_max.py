"""Late fusion: for each output, the most that any modality's own head says.

The max rule of Kittler, Hatef, Duin & Matas, "On Combining Classifiers", IEEE TPAMI 1998.
Differs from the paper: the gradient is that of the smooth maximum, log-sum-exp, so that a head
learns even where another one says more.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from mmbench.contracts import Capabilities, Fusion
from mmbench.errors import InvalidParameter
from mmbench.fusions._decisions import decisions, several_outputs
from mmbench.fusions._projection import presence
from mmbench.hookspecs import hookimpl
from mmbench.types import ALL_TARGETS, Features


class LateMaxFusion(Fusion):
    """``z_o = max over present modalities of s_mo``.

    The maximum of logits is the paper's rule for labels, whose posteriors are sigmoids.
    ``of="probabilities"`` takes the maximum of log softmax(s_m), the rule for exclusive classes,
    which a fusion cannot know of: so it can be set but is not searched. With no modality present
    the outputs are zeros.
    """

    name = "late-max"
    offered = "named"
    capabilities = Capabilities(level="decision", handles_missing=True, targets=ALL_TARGETS)

    def __init__(self, dims: Mapping[str, int], *, of: str = "logits") -> None:
        super().__init__(dims)
        self.of, self.out_dim = of, next(iter(dims.values()))
        if of not in ("logits", "probabilities"):
            raise InvalidParameter(
                f"late-max.of = {of!r} is unknown. Allowed: 'logits', 'probabilities'."
            )
        if of == "probabilities":
            several_outputs(dims, "late-max.of = 'probabilities'")

    def forward(self, features: Features) -> Tensor:
        present = presence(features, self.dims)  # (batch, modality)
        scores = decisions(features, self.dims, present)  # (batch, modality, n_outputs)
        if self.of == "probabilities":
            scores = scores.log_softmax(dim=-1)
        lowest = torch.finfo(scores.dtype).min
        scores = torch.where(present.unsqueeze(-1), scores, lowest)
        smooth = scores.logsumexp(dim=1)
        most = scores.amax(dim=1).detach() + smooth - smooth.detach()
        return torch.where(present.any(dim=1, keepdim=True), most, 0.0)  # (batch, n_outputs)


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [LateMaxFusion]
