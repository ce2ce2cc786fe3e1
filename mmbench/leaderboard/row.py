"""A row: one final evaluation as it stands on a leaderboard, and its JSON file."""

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from typing_extensions import TypedDict

from mmbench.errors import InvalidSpec, StorageError
from mmbench.files import write_whole
from mmbench.leaderboard.by_class import check_classes
from mmbench.leaderboard.diagnoses import (
    Contribution,
    Predictions,
    Reliability,
    Representation,
    Robustness,
    predictions_file,
)
from mmbench.leaderboard.garbage import garbage_kept
from mmbench.leaderboard.shape import read_as
from mmbench.provenance import Used, read_used
from mmbench.space import Value
from mmbench.spec import spec_from_dict
from mmbench.types import FUSED_TARGETS

SCHEMA: Literal[1] = 1
Level = Literal["preview", "community", "verified"]
LEVELS: tuple[tuple[int, Level], ...] = ((5, "verified"), (3, "community"))
"""From how many fresh seeds on; fewer are a preview."""
MEASURED = (
    "latency_ms_p50", "latency_ms_p90", "latency_ms_p95", "peak_memory_mib", "parameters",
    "fusion_parameters", "flops", "train_seconds",
)  # fmt: skip
"""What a model costs."""
LEAST, MOST = 1e-9, 1e19
"""Of any cost above 0, in its unit: charts and means are of logarithms and ratios."""
ROUNDING = 1e-9
"""By how much a mean may leave its interval: equal scores averaged in floating point."""


class Quality(TypedDict):
    """One metric on test: the mean over seeds, its interval, and each seed's own score.

    The main metric always has an interval; others have None where it would take minutes.
    """

    mean: float
    low: float | None
    high: float | None
    per_seed: list[float]


class Main(TypedDict):
    """The main metric on test."""

    mean: float
    low: float
    high: float


class Validation(TypedDict):
    """The main metric on validation."""

    mean: float
    per_seed: list[float]


class SliceScore(TypedDict):
    """The main metric on some rows of test."""

    rows: int
    score: float


class Gain(TypedDict):
    """The main metric above that of the best single modality; positive is better."""

    over: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One final evaluation; plain JSON values throughout."""

    schema: Literal[1] = SCHEMA
    id: str
    """Twelve hexadecimal digits: the family of the spec."""
    task: str
    task_version: str
    encoders: dict[str, str]
    """Modality to the name of its encoder."""
    fusion: str
    head: str
    objective: str
    spec: dict[str, Any]
    """The resolved spec of the first seed."""
    seeds: list[int]
    metric: str
    """The main metric; a key of ``quality``."""
    higher_is_better: bool
    quality: dict[str, Quality]
    slices: dict[str, dict[str, SliceScore]]
    """Grouping to value to score, such as ``{"question_type": {"yes/no": …}}``."""
    validation: Validation
    latency_ms_p50: float | None
    """Milliseconds of one request at batch 1 through the whole model."""
    latency_ms_p90: float | None
    latency_ms_p95: float | None
    peak_memory_mib: float | None
    parameters: int
    fusion_parameters: int
    flops: int | None
    """Of one sample."""
    train_seconds: float
    """Mean per seed."""
    cost: dict[str, Any]
    """The whole cost document of the measuring process."""
    gain: Gain | None
    reference: bool
    """A yardstick: majority, a single modality, or the concat baseline."""
    optimum: float | None
    """The best possible main metric, where it is known by construction."""
    search: dict[str, Any]
    hardware: str
    environment: dict[str, Any]
    created: str
    """ISO 8601."""
    splits: dict[str, str] | None = None
    """By part, a hash of its target and sources."""
    predictions: Predictions | None = None
    outputs: list[str] | None = None
    """Names of the classes of ``confusion``, in its order."""
    confusion: list[list[int]] | None = None
    """Test rows by ``[true class][predicted class]``, summed over seeds; up to 30 classes."""
    reliability: Reliability | None = None
    robustness: Robustness | None = None
    contribution: Contribution | None = None
    representation: Representation | None = None
    target: str | None = None
    """Its kind, such as ``classification``."""

    def to_dict(self) -> dict[str, Any]:
        return {f.name: copy.deepcopy(getattr(self, f.name)) for f in fields(self)}

    @property
    def main(self) -> Main:
        quality = self.quality[self.metric]
        low, high = quality["low"], quality["high"]
        if low is None or high is None:
            raise InvalidSpec(f"row {self.id}: the main metric {self.metric!r} has no interval.")
        return {"mean": quality["mean"], "low": low, "high": high}

    @property
    def sign(self) -> int:
        """1 if more is better, else -1."""
        return 1 if self.higher_is_better else -1

    @property
    def fuses(self) -> bool:
        """Whether modalities answer together: older rows, which do not say, are of such tasks."""
        return self.target is None or self.target in FUSED_TARGETS

    @property
    def of_one_modality(self) -> bool:
        """A yardstick of what one modality says alone."""
        return self.fusion == "only" or self.fusion.startswith("only-")

    @property
    def level(self) -> Level:
        """How much the row can be trusted, by its number of fresh seeds."""
        return next((name for n, name in LEVELS if len(self.seeds) >= n), "preview")

    @property
    def preview(self) -> bool:
        """Too few seeds to say how far they are apart: shown, never ranked."""
        return self.level == "preview"


ADDED = tuple(f.name for f in fields(Row) if f.default is not MISSING)
"""Fields that older rows lack."""


def public(row: Row) -> dict[str, Any]:
    """The row as ``--json`` shows it: the main metric and its interval flattened by name."""
    name = row.metric.replace("-", "_")
    low, mean, high = row.main["low"], row.main["mean"], row.main["high"]
    return {**row.to_dict(), name: mean, f"{name}_low": low, f"{name}_high": high}


def row_from_dict(data: Any, where: str = "row") -> Row:
    """Read a row; every mistake is named by its field, after ``where`` (a file's name)."""
    return row_from_text(json.dumps(data), where)


def row_from_text(text: str, where: str) -> Row:
    """Read a row from JSON."""
    try:
        row = read_as(Row, text, where)
    except InvalidSpec as mistake:
        raise _of_schema(text, where) or mistake from None
    _check_names(row, where)
    _check_single(row.search.get("single"), where)
    _check_figures(row, where)
    check_classes(row.outputs, row.confusion, row.reliability, where)
    return row


def _of_schema(text: str, where: str) -> InvalidSpec | None:
    """A row of another schema has other fields: that is its mistake, not one of them."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):  # also too many digits, or too many brackets
        return None
    if not isinstance(data, dict) or (given := data.get("schema", SCHEMA)) == SCHEMA:
        return None
    return InvalidSpec(f"{where} has schema {given!r}; this mmbench reads schema {SCHEMA}.")


def _check_names(row: Row, where: str) -> None:
    if not re.fullmatch(r"[0-9a-f]{12}", row.id):
        raise InvalidSpec(f"{where}: id is twelve hexadecimal digits; got {row.id!r}.")
    if not re.fullmatch(r"\w[\w.-]*", row.task):
        raise InvalidSpec(f"{where}: task is a name that can name a folder; got {row.task!r}.")
    file = predictions_file(row.id)
    if row.predictions is not None and row.predictions["file"] != file:
        raise InvalidSpec(
            f"{where}: predictions.file is {file}, beside the row; got {row.predictions['file']!r}."
        )
    try:
        datetime.fromisoformat(row.created)
    except ValueError:
        raise InvalidSpec(f"{where}: created is an ISO 8601 time; got {row.created!r}.") from None


def _check_single(single: Any, where: str) -> None:
    """Boards look up the row that a gain is over."""
    if single is None:
        return
    texts = [single.get(key) for key in ("id", "sha256")] if isinstance(single, dict) else [None]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidSpec(
            f"{where}: search.single is null, or the id and sha256 of a row; got {single!r}."
        )


def _check_figures(row: Row, where: str) -> None:
    for name in MEASURED:
        if (cost := getattr(row, name) or 0) and not LEAST <= cost <= MOST:
            raise InvalidSpec(f"{where}: {name} is 0 or from {LEAST:g} to {MOST:g}; got {cost}.")
    if not row.seeds or len(set(row.seeds)) != len(row.seeds):
        raise InvalidSpec(f"{where}: seeds are one or more different numbers; got {row.seeds}.")
    if row.metric not in row.quality:
        raise InvalidSpec(
            f"{where}: quality lacks the main metric {row.metric!r}; it has "
            f"{', '.join(row.quality) or 'nothing'}."
        )
    for name, quality in row.quality.items():
        low, mean, high = quality["low"], quality["mean"], quality["high"]
        if name == row.metric and (low is None or high is None):
            raise InvalidSpec(f"{where}: quality.{name}: the main metric lacks its interval.")
        if (low is not None and low > mean + ROUNDING) or (
            high is not None and high < mean - ROUNDING
        ):
            raise InvalidSpec(f"{where}: quality.{name}: low ≤ mean ≤ high does not hold.")
        if len(quality["per_seed"]) != len(row.seeds):
            raise InvalidSpec(f"{where}: quality.{name}: per_seed has not one score per seed.")
    if len(row.validation["per_seed"]) != len(row.seeds):
        raise InvalidSpec(f"{where}: validation: per_seed has not one score per seed.")


def write_row(folder: Path, row: Row, predictions_in: Path | None = None) -> Path:
    """Write ``folder/<task>/<id>.json``; a row that could not be read again is refused.

    ``predictions_in`` is the folder of the row's predictions, which are copied beside it. Without
    it the row keeps only their hash.
    """
    data = row.to_dict()
    row_from_dict(data, f"row {row.id}")
    if predictions_in is not None and row.predictions is not None:
        _copy(predictions_in / row.predictions["file"], folder / row.task)
    text = json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return write_whole(folder / row.task / f"{row.id}.json", text + "\n")


def _copy(file: Path, folder: Path) -> None:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error.strerror or error}.") from None
    write_whole(folder / file.name, content)


@garbage_kept()
def read_rows(folder: Path) -> tuple[list[Row], list[str]]:
    """All rows in ``folder`` and its task folders, and what is wrong with files that are not rows.

    A bad file never hides the others: each problem names its file and the reason. A row that lies
    in the folder of another task is left out; of two files with one id and other content the first
    is taken.
    """
    if not folder.is_dir():
        return [], [f"There is no folder {folder}."]
    rows: dict[str, Row] = {}
    places: dict[str, Path] = {}
    problems = []
    for path in sorted([*folder.glob("*.json"), *folder.glob("*/*.json")]):
        try:
            row = read_row(path)
        except (InvalidSpec, StorageError) as error:
            problems.append(str(error))
            continue
        if (wrong := misplaced(path, row)) is not None:
            problems.append(wrong)
            continue
        if rows.setdefault(row.id, row) != row:
            problems.append(same_id(path, row, places[row.id], rows[row.id]))
        places.setdefault(row.id, path)
    return list(rows.values()), problems


def misplaced(path: Path, row: Row) -> str | None:
    """What is wrong with a row that lies in another folder than that of its task."""
    unnamed = path.parent.name in ("", "..")  # of `verify .`, say
    folder = path.parent.resolve() if unnamed else path.parent
    if folder.name == row.task:
        return None
    place = folder.parent / row.task / path.name
    step = f"{place} is there, too: keep one" if place.exists() else f"move it to {place.parent}/"
    return f"{path} is a row of {row.task}; {step}."


def same_id(path: Path, row: Row, other_path: Path, other: Row) -> str:
    """What is wrong with two files that are one row, but differ."""
    return (
        f"{path} is row {row.id}, and so is {other_path}, with other content: {row.hardware}, "
        f"{row.created[:10]} and {other.hardware}, {other.created[:10]}. Keep one of them."
    )


def read_row(path: Path) -> Row:
    """One row from its file, whose name is the row's id."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidSpec(f"{path} is not text in UTF-8.") from None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror or error}.") from None
    row = row_from_text(text, str(path))
    if path.stem != row.id:
        raise InvalidSpec(f"{path}: id is {row.id!r}; the file of a row is named by its id.")
    return row


def moved(row: Row, places: Mapping[str, Value]) -> Row:
    """The row with its data at other places, if any are named."""
    if not places:
        return row
    return replace(row, spec=spec_from_dict(row.spec).moved(places).to_dict())


def used_plugins(row: Row) -> list[Used]:
    """The plugins that the row was made with; none if it is an older row, which does not say."""
    return read_used(row.environment.get("used_plugins", []), f"row {row.id}: used_plugins")
