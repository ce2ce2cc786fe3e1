"""A task's data."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from mmbench.types import Part, Split, Task


@dataclass(frozen=True, slots=True)
class Known:
    """A score that others reached, or that a simple method reaches: what to hold a board against.

    In units of the task's main metric.
    """

    what: str
    score: float
    source: str = "mmbench"
    """Who reported it."""
    within: str = ""
    """The slice it holds for, as ``question=relational``; all rows if empty."""


@dataclass(frozen=True, slots=True)
class Card:
    """Where a task's data comes from, what is in it, and what is known of it."""

    source: str
    """What it is and who made it: authors, package and version, or paper."""
    licence: str
    split: str
    """The rule by which rows went to training, validation and test."""
    rows: Mapping[Part, int] = field(default_factory=dict)
    """Of the task with its default parameters, as is ``content``."""
    content: Mapping[Part, str] = field(default_factory=dict)
    """``mmbench.parts.content_digest`` of each part: what was published is what is loaded."""
    known: tuple[Known, ...] = ()
    note: str = ""


class Dataset(ABC):
    """A task's data: fixed parts, a target and a main metric. Cheap to construct."""

    name: ClassVar[str]
    version: str
    """Changes whenever any value, row or split changes."""
    task: Task
    card: ClassVar[Card | None] = None
    rows_may_recur: ClassVar[bool] = False
    """Two parts may hold equal rows: the data set has looked for copies itself."""
    places: ClassVar[frozenset[str]] = frozenset()
    """Parameters that only say where the data lie. Ids and caches go by ``version`` instead, which
    must then change with any content that is found there."""

    def preprocessing(self) -> dict[str, Any] | None:
        """How raw values became those that ``load`` gives, as JSON, for a model to keep.

        None where values are as a user would give them: images, strings, numbers.
        """
        return None

    @abstractmethod
    def load(self, part: Part) -> Split:
        """All rows of one part, the same at every call. Search never asks for ``"test"``."""
