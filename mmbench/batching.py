"""Which rows go together. Rows that share a costly value are kept in one batch.

An image with ten questions is then encoded once per epoch instead of ten times. The order depends
on the data, the batch size and the seed alone, so that all fusions see the same batches.
"""

from collections.abc import Iterator

import psutil
import torch
from torch import Tensor

from mmbench.prefetch import ahead
from mmbench.types import Column, Encoded, Split


def groups_of(split: Split) -> Tensor | None:
    """(rows,) the group of each row: its value in the costliest shared column; None if unshared.

    A row without a value is a group of its own: together they would fill whole batches. To be asked
    of a split as it was loaded: what is cached later must not change the batches.
    """
    shared = [c for c in split.columns.values() if int(c.present.sum()) > len(c.values)]
    if not shared:
        return None
    column = max(shared, key=_value_size)
    groups, gaps = column.value_of_row.clone(), ~column.present
    groups[gaps] = len(column.values) + torch.arange(int(gaps.sum()))
    return groups


def _value_size(column: Column) -> float:
    """Roughly the bytes of one value; what is decoded from files counts as the costliest."""
    values = column.values
    if isinstance(values, tuple):
        return sum(map(len, values)) / max(len(values), 1)
    if isinstance(values, Encoded):
        values = values.tokens
    if isinstance(values, Tensor):
        return values[0].nbytes if len(values) else 0
    return float("inf")


def epoch_order(n_rows: int, groups: Tensor | None, generator: torch.Generator) -> Tensor:
    """A fresh random order of all rows, with the rows of a group side by side."""
    rows = torch.randperm(n_rows, generator=generator)
    if groups is None:
        return rows
    rank = torch.randperm(int(groups.max()) + 2, generator=generator)  # one more than there are: as
    return rows[rank[groups[rows] + 1].argsort(stable=True)]  # in the rows that are published


def batches(split: Split, order: Tensor, size: int, device: torch.device) -> Iterator[Split]:
    """Consecutive batches of ``size`` rows on ``device``; the last may be shorter, none is dropped.

    What must first be decoded, read or moved is prepared by a thread while the last batch is
    worked on.
    """

    def fetch(rows: Tensor) -> Split:
        batch = split.rows(rows)
        return (batch.pinned() if device.type == "cuda" else batch).to(device)

    if at_hand(split, device):
        yield from (split.rows(rows).to(device) for rows in order.split(size))
    else:
        yield from ahead(fetch, order.split(size))


def at_hand(split: Split, device: torch.device) -> bool:
    """Whether batches are there by mere indexing: nothing to decode, to read or to move."""
    values = [column.values for column in split.columns.values()]
    tensors = [v.tokens if isinstance(v, Encoded) else v for v in values]
    here = [isinstance(t, Tensor) and t.device.type == device.type for t in tensors]
    return all(here) and (device.type == "cuda" or fits(split, device))


def fits(split: Split, device: torch.device) -> bool:
    """Whether what is known of the split takes less than half of the free memory of ``device``."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
    else:
        free = psutil.virtual_memory().available
    return sum(_nbytes(column) for column in split.columns.values()) < free / 2


def _nbytes(column: Column) -> int:
    """0 for what is not in memory."""
    values = column.values
    if isinstance(values, Encoded):
        return values.tokens.nbytes + values.mask.nbytes + values.pooled.nbytes
    return values.nbytes if isinstance(values, Tensor) else 0
