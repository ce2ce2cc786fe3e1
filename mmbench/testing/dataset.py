"""What every dataset promises. Authors call ``check_dataset(MyDataset())`` in one test."""

from dataclasses import replace

import torch
from torch import Tensor

from mmbench.contracts import Dataset
from mmbench.errors import Leak
from mmbench.parts import PARTS, check_parts, content_digest, row_digests
from mmbench.testing.promises import Check, promise
from mmbench.types import MISSING, Column, Encoded, Split

SAMPLE = 16


def check_dataset(dataset: Dataset) -> None:
    """Raise AssertionError, saying which promise is broken and how to mend it."""
    for check in dataset_checks():
        check(dataset)


def _sample(column: Column) -> tuple[str, ...] | Tensor:
    """A few unique values, spread over the column, to compare."""
    which = torch.linspace(0, len(column.values) - 1, SAMPLE).long()
    values = column.values
    if isinstance(values, tuple):
        return tuple(values[i] for i in which.tolist())
    return values.tokens[which] if isinstance(values, Encoded) else values[which]


def _equal(one: Column, other: Column) -> bool:
    a, b = _sample(one), _sample(other)
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        same = torch.equal(a.nan_to_num(), b.nan_to_num())
    else:
        same = a == b
    return same and torch.equal(one.value_of_row, other.value_of_row)


def loading_is_deterministic(dataset: Dataset) -> None:
    """A part is the same at every call: the split is fixed, not drawn."""
    for part in PARTS:
        one, other = dataset.load(part), dataset.load(part)
        same = torch.equal(one.target, other.target) and all(
            _equal(column, other.columns[m]) for m, column in one.columns.items()
        )
        assert same, (
            f"dataset {dataset.name!r}: two loads of {part!r} differ. Draw with a generator "
            f"that is seeded in load."
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


def dataset_checks() -> tuple[Check, ...]:
    """All promises of a dataset, to parametrise a test: each takes an instance."""
    own = (
        loading_is_deterministic,
        columns_and_target_agree,
        targets_are_within_range,
        parts_share_nothing,
        slices_and_sources_label_every_row,
        content_is_as_the_card_says,
    )
    return tuple(promise(check) for check in own)
