"""A row: one final evaluation as it stands on a leaderboard."""

import copy
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, Literal

from typing_extensions import TypedDict

from mmbench.errors import InvalidSpec
from mmbench.leaderboard.diagnoses import (
    Contribution,
    Predictions,
    Reliability,
    Representation,
    Robustness,
)
from mmbench.provenance import Used, read_used
from mmbench.space import Value
from mmbench.spec import spec_from_dict
from mmbench.types import FUSED_TARGETS

SCHEMA: Literal[1] = 1
Level = Literal["preview", "community", "verified"]
LEVELS: tuple[tuple[int, Level], ...] = ((5, "verified"), (3, "community"))
"""From how many fresh seeds on; fewer are a preview."""


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
        """How much the row can be trusted, by its number of fresh seeds; little without scores."""
        if self.predictions is None:
            return "preview"
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


def moved(row: Row, places: Mapping[str, Value]) -> Row:
    """The row with its data at other places, if any are named."""
    if not places:
        return row
    return replace(row, spec=spec_from_dict(row.spec).moved(places).to_dict())


def used_plugins(row: Row) -> list[Used]:
    """The plugins that the row was made with; none if it is an older row, which does not say."""
    return read_used(row.environment.get("used_plugins", []), f"row {row.id}: used_plugins")
