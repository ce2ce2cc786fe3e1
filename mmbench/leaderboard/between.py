"""Two rows on the same test rows: the difference of their main metric, and McNemar's test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mmbench.errors import DataUnavailable, Incompatible, InvalidParameter, InvalidSpec
from mmbench.evaluation.mcnemar import McNemar, mcnemar
from mmbench.evaluation.paired import Difference, Resampled, difference_of_unlike_seeds
from mmbench.evaluation.predictions import Wanted, read_predictions
from mmbench.evaluation.resampling import count_sources
from mmbench.leaderboard.row import Row, moved
from mmbench.leaderboard.row_files import read_row
from mmbench.parts import split_digest
from mmbench.plugins import Plugins
from mmbench.resolve import resolve_dataset
from mmbench.space import Value
from mmbench.spec import Component, spec_from_dict
from mmbench.types import Split, Task


@dataclass(frozen=True, slots=True)
class Between:
    """How two rows differ; positive is better for the first."""

    task: str
    metric: str
    rows: int
    one: str
    other: str
    difference: Difference
    pairing: str
    mcnemar: dict[str, McNemar]
    """For classification, one test for each two seeds."""
    shared_sources: bool
    """Rows of one source are no independent samples, which McNemar's test takes them for."""


def between(
    one_file: Path, other_file: Path, plugins: Plugins, places: Mapping[str, Value]
) -> Between:
    """The comparison of two rows from their files; ``places``: where their data lie now.

    Raises ``Incompatible`` for rows that cannot be compared, ``DataUnavailable`` for want of
    predictions or of the data that they were made on.
    """
    one, other = (moved(read_row(file), places) for file in (one_file, other_file))
    _check_comparable(one, other)
    test, task = _test_of(one, other, plugins)
    first, second = (
        _scores(row, file, Wanted(len(row.seeds), len(test), task.n_outputs or None))
        for row, file in ((one, one_file), (other, other_file))
    )
    common = [seed for seed in one.seeds if seed in other.seeds]
    metric = plugins.metrics[one.metric]()
    if len(common) > 1:  # of one pair of seeds it is not known how far seeds are apart
        first = [first[one.seeds.index(seed)] for seed in common]
        second = [second[other.seeds.index(seed)] for seed in common]
        resampled = Resampled(metric, {"one": first, "other": second}, test.target, test.source)
        difference = resampled.difference("one", "other")
        names = [str(seed) for seed in common]
    else:
        difference = difference_of_unlike_seeds(metric, first, second, test.target, test.source)
        names = [f"{a} and {b}" for a, b in zip(one.seeds, other.seeds, strict=False)]
    pairs = list(zip(names, first, second, strict=False))
    return Between(
        one.task, one.metric, len(test), _label(one), _label(other), difference,
        f"{len(common)} seeds that both have" if len(common) > 1 else _unlike(one, other),
        _each(pairs, test.target) if task.target == "classification" else {},
        count_sources(test.target, test.source) < len(test),
    )  # fmt: skip


def _unlike(one: Row, other: Row) -> str:
    alone = [row.id for row in (one, other) if len(row.seeds) == 1]
    if alone:
        return f"seeds, as far as one is known of {' and '.join(alone)}: others may differ by more"
    return "seeds, of which they share one at most"


def _each(pairs: Sequence[tuple[str, Tensor, Tensor]], target: Tensor) -> dict[str, McNemar]:
    return {name: mcnemar(x, y, target) for name, x, y in pairs}


def _check_comparable(one: Row, other: Row) -> None:
    for name in ("task", "task_version", "metric"):
        if getattr(one, name) != getattr(other, name):
            raise Incompatible(
                f"Rows are compared on one task, version and metric; {one.id} has {name} "
                f"{getattr(one, name)!r}, {other.id} has {getattr(other, name)!r}."
            )


def _test_of(one: Row, other: Row, plugins: Plugins) -> tuple[Split, Task]:
    """The test part that both rows were scored on."""
    _, dataset = resolve_dataset(_task(one), plugins)
    test = dataset.load("test")
    now = split_digest(test)
    for row in (one, other):
        if row.splits is not None and row.splits.get("test") != now:
            raise DataUnavailable(
                f"Row {row.id} was scored on another test part than the installed one: {row.task} "
                f"{dataset.version!r}, the row has {row.task_version!r}."
            )
    return test, dataset.task


def _task(row: Row) -> Component:
    try:
        return spec_from_dict(row.spec).task
    except (InvalidSpec, InvalidParameter) as error:
        raise InvalidSpec(
            f"Row {row.id} does not say what it was made on. {error} `mmbench verify` says what "
            f"else is wrong with it."
        ) from None


def _scores(row: Row, file: Path, wanted: Wanted) -> list[Tensor]:
    if row.predictions is None:
        raise DataUnavailable(
            f"Row {row.id} has no predictions: it was made by an older mmbench. Run it again with "
            f"`mmbench rerun {file}` and publish that."
        )
    kept = file.parent / row.predictions["file"]
    return read_predictions(kept, row.predictions["sha256"], wanted)


def _label(row: Row) -> str:
    return f"{row.fusion} ({row.id})"
