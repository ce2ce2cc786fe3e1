"""The loss of the fused prediction alone: joint training in its plainest form."""

from torch import Tensor

from mmbench.contracts import Objective, Outputs
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.types import FUSED_TARGETS


class PlainObjective(Objective):
    """``L = mean over the batch of L(f(x), y)``."""

    name = "plain"
    targets = FUSED_TARGETS

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        return supervised_loss(self.task.target, outputs.scores, target).mean()


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [PlainObjective]
