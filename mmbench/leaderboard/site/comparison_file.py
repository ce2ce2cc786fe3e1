"""Comparisons as `mmbench compare` left them: read as JSON, checked, with their rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from mmbench.errors import InvalidSpec, StorageError
from mmbench.files import read_bounded
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.row_files import read_rows
from mmbench.leaderboard.row_text import MOST_BYTES
from mmbench.shape import check_near, read_as


class Against(TypedDict):
    """A paired difference to another contestant; positive is better."""

    other: str
    mean: float
    low: float
    high: float
    p_corrected: float


class Contestant(TypedDict):
    """One contestant's place, as `mmbench.comparison.verdicts` found it."""

    label: str
    reference: bool
    score: float
    mean_rank: float
    yardstick: Against | None
    best_after: list[float]
    row: str
    leads: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison and the rows of its contestants, by id."""

    folder: Path
    headline: Sequence[str]
    contestants: Sequence[Contestant]
    failures: dict[str, str]
    request: dict[str, Any]
    rows: dict[str, Row]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def folder_on_site(self) -> str:
        return f"comparisons/{self.name}"

    @property
    def task(self) -> str:
        return next(iter(self.rows.values())).task


def read_comparisons(folder: Path) -> tuple[list[Comparison], list[str]]:
    """All comparisons in ``folder``, and what is wrong with those that cannot be read."""
    found, problems = [], []
    for path in sorted(folder.glob("*/comparison.json")):
        try:
            found.append(_read(path))
        except (InvalidSpec, StorageError) as error:
            problems.append(str(error))
    return found, problems


def _read(path: Path) -> Comparison:
    try:
        text = read_bounded(path, MOST_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{path} cannot be read: {error}.") from None
    data = read_as(_File, text, str(path), others="ignore")
    check_near(text, str(path))
    rows = {row.id: row for row in read_rows(path.parent / "rows")[0]}
    kept = [c for c in data["verdicts"] if c["row"] in rows]
    if not kept:
        raise InvalidSpec(f"{path}: none of its rows can be read under {path.parent / 'rows'}.")
    return Comparison(path.parent, data["headline"], kept, data["failures"], data["request"], rows)


class _File(TypedDict):
    """What the page shows of a comparison, which may say more than it needs."""

    headline: list[str]
    request: dict[str, Any]
    verdicts: list[Contestant]
    failures: dict[str, str]
