"""The majority baseline: what can be predicted without reading anything.

ZeroR of Holte, "Very Simple Classification Rules Perform Well on Most Commonly Used Datasets",
Machine Learning 1993, learnt: the head sees a constant, and so learns the prior of the target. Not
of a sequence: what a head learns to say first and next most often is no sentence that anybody says.
The commonest one is part of a task's card, and of what ``mmbench sanity`` takes for chance.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mmbench.contracts import Capabilities, Fusion
from mmbench.hookspecs import hookimpl
from mmbench.types import ALL_TARGETS, Features


class MajorityFusion(Fusion):
    """``z = 1``: the framework passes it the feature ``constant``, a one per sample."""

    name = "majority"
    offered = "baseline"
    capabilities = Capabilities(min_modalities=0, handles_missing=True, targets=ALL_TARGETS)

    def __init__(self, dims: Mapping[str, int]) -> None:
        super().__init__(dims)
        self.out_dim = dims["constant"]

    @classmethod
    def reads(cls, modalities: Sequence[str], **params: Any) -> Sequence[str]:  # noqa: ARG003
        return ()

    def forward(self, features: Features) -> Tensor:
        return features["constant"].pooled  # (batch, 1)


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [MajorityFusion]
