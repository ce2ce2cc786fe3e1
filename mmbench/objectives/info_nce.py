"""InfoNCE between the two sides of a retrieval task.

van den Oord, Li & Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018
(https://arxiv.org/abs/1807.03748); symmetric and with a learned temperature in Radford et al.,
"Learning Transferable Visual Models From Natural Language Supervision", ICML 2021
(https://arxiv.org/abs/2103.00020).
Differs from the paper: rows that share an item are not negatives of each other. The temperature is
kept between 0.01 and 1 by a sigmoid instead of clipping.
"""

from collections.abc import Mapping
from typing import Annotated

from torch import Tensor

from mmbench.contracts import Objective, Outputs
from mmbench.hookspecs import hookimpl
from mmbench.objectives._contrast import Matching, Temperature, info_nce, matching
from mmbench.space import Choice, Range
from mmbench.types import Task


class InfoNCEObjective(Objective):
    """``L = ½ (NCE(S / τ) + NCE(Sᵀ / τ))``, S the inner products of the two sides in a batch."""

    name = "info-nce"
    targets = frozenset({"retrieval"})

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        temperature: Annotated[float, Range(0.02, 0.5, log=True)] = 0.07,
        learned: Annotated[bool, Choice(True, False)] = True,  # noqa: FBT003
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.temperature = Temperature(temperature, learned=learned)

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        there = matching(outputs, target, self.modalities)
        return (self.contrast(there) + self.contrast(there.reverse)) / 2

    def contrast(self, there: Matching) -> Tensor:
        """In one direction, a scalar."""
        return info_nce(there.similarity / self.temperature(), there.counted, there.distinct)


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [InfoNCEObjective]
