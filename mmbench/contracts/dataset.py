"""A task's data."""

from abc import ABC, abstractmethod
from typing import ClassVar

from mmbench.types import Part, Split, Task


class Dataset(ABC):
    """A task's data: fixed parts, a target and a main metric. Cheap to construct."""

    name: ClassVar[str]
    version: str
    """Changes whenever any value, row or split changes."""
    task: Task
    rows_may_recur: ClassVar[bool] = False
    """Two parts may hold equal rows: the data set has looked for copies itself."""

    @abstractmethod
    def load(self, part: Part) -> Split:
        """All rows of one part, the same at every call. Search never asks for ``"test"``."""
