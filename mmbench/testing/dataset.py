"""What every dataset promises. Authors call ``check_dataset(MyDataset())`` in one test."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, get_args

import torch
from torch import Tensor

from mmbench.contracts import Dataset, Metric
from mmbench.errors import Leak, did_you_mean
from mmbench.parts import PARTS, check_parts, content_digest, row_digests
from mmbench.plugins import load_plugins
from mmbench.space import params_of
from mmbench.testing.subject import Check, promise
from mmbench.types import MISSING, Column, Encoded, Kind, Split

SAMPLE = 16
FIXED: dict[Kind, slice] = {
    "tabular": slice(1, None),  # (values, numbers)
    "series": slice(-1, None),  # (values, time, channels)
    "image": slice(1, 2),  # (values, channels, height, width)
    "video": slice(2, 3),  # (values, frames, channels, height, width)
    "audio": slice(0, 0),  # (values, samples)
    "text": slice(1, None),
}
"""Of the shape of a column, what no part may have otherwise."""


def check_dataset(dataset: Dataset) -> None:
    """Raise AssertionError, saying which promise is broken and how to mend it."""
    for check in dataset_checks():
        check(dataset)


def _held(column: Column) -> tuple[str, ...] | Tensor:
    """All values; of those that are decoded as they are read a few, spread over the column."""
    values = column.values
    if isinstance(values, tuple | Tensor):
        return values
    which = torch.linspace(0, len(values) - 1, SAMPLE).long()
    return values.tokens[which] if isinstance(values, Encoded) else values[which]


def _alike(one: Any, other: Any) -> bool:
    """Equal; an empty cell (NaN) equals an empty cell."""
    if not (isinstance(one, Tensor) and isinstance(other, Tensor)):
        return bool(one == other)
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return bool(((one == other) | one.isnan() & other.isnan()).all())


def _differing(one: Split, other: Split) -> list[str]:
    """What two loads of a part do not have alike."""
    if set(one.columns) != set(other.columns):
        return ["the columns"]
    held: dict[str, tuple[Any, Any]] = {
        "the target": (one.target, other.target),
        "the source": (one.source, other.source),
    }
    labels = [{k: tuple(v) for k, v in split.slices.items()} for split in (one, other)]
    for m, column in one.columns.items():
        held[repr(m)] = _held(column), _held(other.columns[m])
        held[f"the index of {m!r}"] = column.value_of_row, other.columns[m].value_of_row
    differing = [what for what, pair in held.items() if not _alike(*pair)]
    return differing + ["the slices"] * (labels[0] != labels[1])


def loading_is_deterministic(dataset: Dataset) -> None:
    """A part is the same at every call: the split is fixed, not drawn."""
    for part in PARTS:
        differing = _differing(dataset.load(part), dataset.load(part))
        assert not differing, (
            f"dataset {dataset.name!r}: two loads of {part!r} differ in {', '.join(differing)}. "
            f"Draw with a generator that is seeded in load."
        )


def _loads_afresh(build: Callable[[], Dataset]) -> Check:
    def another_instance_loads_the_same(dataset: Dataset) -> None:
        """Nothing is drawn when it is made: every process of a search makes its own."""
        torch.manual_seed(1)
        other = build()
        for part in PARTS:
            differing = _differing(dataset.load(part), other.load(part))
            assert not differing, (
                f"dataset {dataset.name!r}: another instance has another {part!r}: "
                f"{', '.join(differing)} differ. Draw with a seeded generator, in __init__ too."
            )

    return promise(another_instance_loads_the_same)


def task_is_of_what_there_is(dataset: Dataset) -> None:
    """Its metric serves its target, its modalities have a kind, and it has a version."""
    task, where = dataset.task, f"dataset {dataset.name!r}"
    metrics = _metrics(dataset)
    fit = sorted(name for name, metric in metrics.items() if task.target in metric.targets)
    for asked in (task.metric, *task.figures):
        assert asked in fit, (
            f"{where}: its metric {asked!r} is none of {task.target}."
            f"{did_you_mean(asked, fit)} Allowed: {', '.join(fit)}."
        )
    kinds = get_args(Kind)
    for modality, kind in task.modalities.items():
        assert kind in kinds, (
            f"{where}: {modality!r} is of the kind {kind!r}.{did_you_mean(kind, kinds)} "
            f"Allowed: {', '.join(kinds)}."
        )
    version = getattr(dataset, "version", None)
    assert isinstance(version, str) and version, (
        f'{where} needs a version, as in `version = "1"`, to be raised whenever a value or row '
        f"changes; it has {version!r}."
    )


def places_are_parameters(dataset: Dataset) -> None:
    """What it says of where its data lie are keyword parameters of its own."""
    own = [param.name for param in params_of(type(dataset))]
    for place in sorted(dataset.places):
        assert place in own, (
            f"dataset {dataset.name!r}: `places` names {place!r}, which is no parameter of it."
            f"{did_you_mean(place, own)} It has: {', '.join(own) or 'none'}."
        )


def _metrics(dataset: Dataset) -> dict[str, type[Metric]]:
    """All there are, and those of its own file, which may not be installed."""
    own: Callable[[], Iterable[type[Metric]]] = getattr(
        inspect.getmodule(type(dataset)), "register_metrics", list
    )
    return {**load_plugins().metrics, **{metric.name: metric for metric in own()}}


def values_are_alike_in_all_parts(dataset: Dataset) -> None:
    """A tensor has one type and, but for length and size, one shape in all parts; none is infinite.

    An empty cell is NaN.
    """
    parts = {part: dataset.load(part) for part in PARTS}
    for modality, kind in dataset.task.modalities.items():
        columns = {part: split.columns[modality].values for part, split in parts.items()}
        held = {part: v for part, v in columns.items() if isinstance(v, Tensor)}
        where = f"dataset {dataset.name!r}: {modality!r}"
        shapes = {part: (v.dtype, v.ndim, v.shape[FIXED[kind]]) for part, v in held.items()}
        said = ", ".join(f"{v.dtype} {tuple(v.shape)} in {part}" for part, v in held.items())
        assert len(set(shapes.values())) <= 1, (
            f"{where} is {said}. An encoder is built for the train part: give all parts its type "
            f"and its width."
        )
        infinite = [part for part, v in held.items() if v.is_floating_point() and v.isinf().any()]
        assert not infinite, (
            f"{where} has infinite values in {', '.join(infinite)}. Write NaN for an empty cell."
        )


def columns_and_target_agree(dataset: Dataset) -> None:
    """Every modality of the task is a column with one row per target, and indices exist."""
    for part in PARTS:
        split = dataset.load(part)
        assert len(split) > 0, f"dataset {dataset.name!r}: {part!r} has no rows."
        assert set(split.columns) == set(dataset.task.modalities), (
            f"dataset {dataset.name!r}: {part!r} has the columns {sorted(split.columns)}, the task "
            f"the modalities {sorted(dataset.task.modalities)}."
        )
        for modality, column in split.columns.items():
            where = f"dataset {dataset.name!r}: {modality!r} of {part!r}"
            assert len(column) == len(split), f"{where} has {len(column)} of {len(split)} rows."
            if column.index is not None and len(column.index):
                low, high = int(column.index.min()), int(column.index.max())
                assert low >= MISSING and high < len(column.values), (
                    f"{where} points at values {low} to {high} of {len(column.values)}."
                )


def targets_are_within_range(dataset: Dataset) -> None:
    """Classes are whole numbers below n_outputs; labels are 0 or 1; numbers are finite.

    Of retrieval, there are two sides, and each item of a side stands for one value. Of a sequence,
    tokens are whole numbers below the number of outputs, and each row has the task's length.
    """
    task = dataset.task
    kind, n = task.target, task.n_outputs
    for part in PARTS:
        target = dataset.load(part).target
        where = f"dataset {dataset.name!r}: the target of {part!r}"
        if kind == "classification":
            fits = target.dtype == torch.int64 and target.ndim == 1
            assert fits, f"{where} must be (rows,) int64; got {tuple(target.shape)} {target.dtype}."
            low, high = int(target.min()), int(target.max())
            assert low >= 0 and high < n, (
                f"{where} has classes {low} to {high}; allowed: 0 to {n - 1}."
            )
        elif kind == "multilabel":
            assert target.shape[1:] == (n,), f"{where} must be (rows, {n}); got {target.shape}."
            assert ((target == 0) | (target == 1)).all(), f"{where} must hold only 0 and 1."
        elif kind == "sequence":
            fits = target.dtype == torch.int64 and target.shape[1:] == (task.length,)
            assert fits, f"{where} must be (rows, {task.length}) int64; got {tuple(target.shape)}."
            low, high = int(target.min()), int(target.max())
            assert low >= 0 and high < len(task.outputs), (
                f"{where} has tokens {low} to {high}; allowed: 0 to {len(task.outputs) - 1}."
            )
        elif kind == "retrieval":
            fits = target.dtype == torch.int64 and target.shape[1:] == (2,)
            assert fits, f"{where} must be (rows, 2) int64; got {tuple(target.shape)}."
            _items_stand_for_values(dataset.load(part), where)
        else:
            fits = target.numel() == len(target) * n and target.is_floating_point()
            assert fits and target.isfinite().all(), f"{where} must be {n} finite number(s) a row."


def _items_stand_for_values(split: Split, where: str) -> None:
    """Rows have the same item of a side where, and only where, they have the same value of it.

    Values that are decoded as they are read are taken on trust.
    """
    assert len(split.columns) == 2, f"{where} has two sides; there are {len(split.columns)} columns"
    for (modality, column), items in zip(split.columns.items(), split.target.T, strict=True):
        if not isinstance(column.values, Tensor | tuple):
            continue
        values = row_digests(replace(split, columns={modality: column}))
        pairs = set(zip(items.tolist(), values, strict=True))
        assert len(pairs) == len(items.unique()) == len(set(values)), (
            f"{where} has {len(items.unique())} items of {modality!r}, which has "
            f"{len(set(values))} different values: number the values, `unique` does."
        )


def parts_share_nothing(dataset: Dataset) -> None:
    """No source (an image, a subject) and no whole row, values over all modalities, is in two."""
    try:
        check_parts(
            {part: dataset.load(part) for part in PARTS},
            dataset.name,
            rows_may_recur=dataset.rows_may_recur,
        )
    except Leak as leak:
        raise AssertionError(str(leak)) from None


def slices_and_sources_label_every_row(dataset: Dataset) -> None:
    """Every slice, and the source if there is one, has one entry per row."""
    for part in PARTS:
        split: Split = dataset.load(part)
        lengths = {f"slice {name!r}": len(labels) for name, labels in split.slices.items()}
        if split.source is not None:
            lengths["source"] = len(split.source)
        for what, length in lengths.items():
            assert length == len(split), (
                f"dataset {dataset.name!r}: {what} of {part!r} has {length} entries for "
                f"{len(split)} rows."
            )


def content_is_as_the_card_says(dataset: Dataset) -> None:
    """A part that the card states loads as it was published, row for row and value for value."""
    card = dataset.card
    if card is None or dataset.version != type(dataset)().version:
        return  # the card states the default parameters
    for part in card.rows.keys() | card.content.keys():
        split = dataset.load(part)
        where = f"dataset {dataset.name!r}: {part!r}"
        wanted = card.rows.get(part, len(split))
        assert len(split) == wanted, f"{where} has {len(split)} rows; its card says {wanted}."
        if part in card.content:
            found = content_digest(split)
            assert found == card.content[part], (
                f"{where} has the content {found}; its card says {card.content[part]}. If the "
                f"change is meant, raise the version and state the new content."
            )


def dataset_checks(build: Callable[[], Dataset] | None = None) -> tuple[Check, ...]:
    """All promises of a dataset, to parametrise a test: each takes an instance.

    ``build`` makes another instance like it; it adds a promise.
    """
    own = (
        task_is_of_what_there_is,
        places_are_parameters,
        loading_is_deterministic,
        columns_and_target_agree,
        values_are_alike_in_all_parts,
        targets_are_within_range,
        parts_share_nothing,
        slices_and_sources_label_every_row,
        content_is_as_the_card_says,
    )
    extra = (_loads_afresh(build),) if build else ()
    return (*(promise(check) for check in own), *extra)
