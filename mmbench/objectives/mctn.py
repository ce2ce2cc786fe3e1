"""Cyclic translation: from each modality to each other and back again.

Pham, Liang, Manzini, Morency & Póczos, "Found in Translation: Learning Robust Joint Representations
by Cyclic Translations Between Modalities", AAAI 2019 (https://arxiv.org/abs/1812.07809).
Differs from the paper: there the joint representation is the hidden state of a sequence-to-sequence
translator, so that only the source modality is needed at test time. Here translation is a further
loss on the encoders' pooled features, normalised, whatever fusion makes the prediction: it asks
each encoder to hold what the others know. All ordered pairs are translated, not a chain from one
source; the way back is the translator of that direction.
"""

from collections.abc import Mapping
from itertools import permutations
from typing import Annotated

from torch import Tensor, nn

from mmbench.contracts import Objective, Outputs
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.objectives._pooled import normalised, perceptron, reconstruction
from mmbench.space import Range
from mmbench.types import Task


class MCTNObjective(Objective):
    """``L = L(f(x), y) + weight · Σ_{s≠t} (|x_t − x_st|² + cycle · |x_s − T_ts(x_st)|²)``.

    ``x_st = T_st(x_s)`` is modality s translated into t. | |² is the mean over units and over the
    rows that have both. What is to be reached is fixed: only the source's encoder and the
    translators move.
    """

    name = "mctn"
    acts_on_encoders = True
    offered = "named"
    min_modalities = 2

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        weight: Annotated[float, Range(0.01, 1.0, log=True)] = 0.1,
        cycle: Annotated[float, Range(0.1, 1.0, log=True)] = 0.5,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.weight, self.cycle = weight, cycle
        self.translate = nn.ModuleDict(
            {f"{s} to {t}": perceptron(dims[s], dims[t], width) for s, t in permutations(dims, 2)}
        )

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        loss = supervised_loss(self.task.target, outputs.scores, target).mean()
        for source, goal in permutations(self.modalities, 2):
            loss = loss + self.weight * self.translation(outputs, source, goal)
        return loss

    def translation(self, outputs: Outputs, source: str, goal: str) -> Tensor:
        """What is lost on the way there and back, a scalar."""
        start, end = outputs.features[source], outputs.features[goal]
        both = start.present & end.present
        translated = self.translate[f"{source} to {goal}"](normalised(start))
        returned = self.translate[f"{goal} to {source}"](translated)
        there = reconstruction(translated, end, both)
        return there + self.cycle * reconstruction(returned, start, both)


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [MCTNObjective]
