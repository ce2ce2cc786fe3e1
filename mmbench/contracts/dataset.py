"""A task's data."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from mmbench.types import Part, Split, Task


class Dataset(ABC):
    """A task's data: fixed parts, a target and a main metric. Cheap to construct."""

    name: ClassVar[str]
    version: str
    """Changes whenever any value, row or split changes."""
    task: Task
    rows_may_recur: ClassVar[bool] = False
    """Two parts may hold equal rows: the data set has looked for copies itself."""

    def preprocessing(self) -> dict[str, Any] | None:
        """How raw values became those that ``load`` gives, as JSON, for a model to keep.

        None where values are as a user would give them: images, strings, numbers.
        """
        return None

    @abstractmethod
    def load(self, part: Part) -> Split:
        """All rows of one part, the same at every call. Search never asks for ``"test"``."""
