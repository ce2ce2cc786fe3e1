"""A table as a task: what ``preparing`` makes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbench.tables.dividing import Division
from mmbench.tables.findings import Finding
from mmbench.tables.kinds import Seems
from mmbench.tables.options import TableOptions
from mmbench.tables.recipe import Files, Recipe
from mmbench.tables.store import Store
from mmbench.types import Column, Part, Split, Task


@dataclass(frozen=True, slots=True)
class Prepared:
    """A table as a task: what it is, what was found, and the rows of each part."""

    options: TableOptions
    """Complete: nothing is inferred any more."""
    seems: Mapping[str, Seems]
    findings: tuple[Finding, ...]
    task: Task
    version: str
    recipe: Recipe
    columns: Mapping[str, Column]
    """Of all rows of the table; those of files are in ``stores``."""
    target: Tensor
    scale: tuple[float, float]
    """Mean and standard deviation that a regression target was brought to zero and one from."""
    division: Division
    stores: Mapping[str, tuple[Files, Store]] = field(default_factory=dict)

    def preprocessing(self) -> dict[str, Any]:
        """What a model needs to read new rows as these were read, as JSON."""
        return {"recipe": self.recipe.to_dict(), "scale": list(self.scale)}

    def rows(self, part: Part) -> np.ndarray:
        """Which rows of the table are in a part, ascending."""
        return np.flatnonzero(self.division.parts == part)

    def split(self, part: Part) -> Split:
        """The rows of a part, with only the values that they use."""
        rows = self.rows(part)
        which = torch.from_numpy(rows)
        lazy = {m: files.column(found, rows) for m, (files, found) in self.stores.items()}
        columns = {
            m: lazy[m] if m in lazy else self.columns[m].rows(which) for m in self.recipe.order
        }
        source = torch.from_numpy(self.division.groups[rows])
        return Split(columns, self.target[which], source=source)
