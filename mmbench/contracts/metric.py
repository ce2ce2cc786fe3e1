"""What says how good predictions are."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from mmbench.types import TargetKind, Task


class Metric(ABC):
    """A figure of quality from all predictions of a part at once."""

    name: ClassVar[str]
    targets: ClassVar[frozenset[TargetKind]]
    higher_is_better: ClassVar[bool] = True
    everywhere: ClassVar[bool] = True
    """Whether it says something of every such target; else a task asks for it in ``figures``."""
    best: ClassVar[float | None] = None
    """The value that cannot be beaten, if there is one: training that has it may stop."""
    worst: ClassVar[float | None] = None
    """The other end, if there is one: no interval reaches beyond either."""

    @property
    def sign(self) -> int:
        """1 if more is better, else -1."""
        return 1 if self.higher_is_better else -1

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """The lowest and the highest that it can be, where there is such an end."""
        lowest, highest = self.worst, self.best
        return (lowest, highest) if self.higher_is_better else (highest, lowest)

    @classmethod
    def fits(cls, task: Task) -> bool:
        """Whether it is a figure of the task."""
        asked = cls.everywhere or cls.name in (task.metric, *task.figures)
        return asked and task.target in cls.targets

    @abstractmethod
    def __call__(self, scores: Tensor, target: Tensor) -> float:
        """``scores`` (rows, n_outputs) as the model gave them, ``target`` (rows, …); on the CPU.

        Of retrieval, scores are the embeddings of both sides (rows, 2 × width), side by side. Of a
        sequence they are laid out place by place: see ``mmbench.sequences``.
        """
