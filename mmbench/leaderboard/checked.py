"""What a check of a row has found."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmbench.leaderboard.row import Row
from mmbench.leaderboard.sources import ROWS


@dataclass(slots=True)
class Checked:
    """One row, and what is wrong with it."""

    file: Path
    row: Row | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What could not be checked, and why that is no fault."""
    recomputed: bool = False
    """Every metric was computed again from stored predictions."""
    plugins: list[str] = field(default_factory=list)
    """Those that the row was made with, each with version and hash."""
    ranged: Row | None = None
    """The row as it follows, if the ends of its intervals are all that is wrong with it."""

    @property
    def compared(self) -> bool:
        """It is of a comparison, which keeps no predictions: ``rows/<task>/<id>.json``."""
        return self.file.absolute().parent.parent.name == ROWS

    def lacks(self, what: str) -> None:
        """A row of a board has it; one of a comparison may be older than it."""
        (self.notes if self.compared else self.problems).append(f"it has no {what}")

    def to_dict(self) -> dict[str, Any]:
        return {
            "file": str(self.file),
            "id": self.row.id if self.row else None,
            "valid": not self.problems,
            "recomputed": self.recomputed,
            "problems": self.problems,
            "notes": self.notes,
            "plugins": self.plugins,
        }


def rowless(file: Path) -> Checked:
    """What is said of predictions without their row."""
    why = "these are predictions of a row that is not beside them: put it back, or delete them"
    return Checked(file, problems=[why])
