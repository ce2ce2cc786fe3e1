"""What the members of a batched model read in one step.

Members of one seed see the same rows, which are gathered once. Members of different seeds each
gather their own, by index.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmbench.together.side_by_side import spread
from mmbench.types import MISSING, Column, Encoded, Split

TARGET = "target"


@dataclass(frozen=True, slots=True)
class MemberBatch:
    """A batch as tensors by name; ``shared`` if all members read the same, else (members, …)."""

    tensors: Mapping[str, Tensor]
    shared: bool

    def seen(self) -> dict[str, Tensor]:
        """As one member sees it, inside ``side_by_side``."""
        return {k: t if self.shared else spread(t) for k, t in self.tensors.items()}


def gather(split: Split, rows: Sequence[Tensor], device: torch.device) -> MemberBatch:
    """The rows of each member; given once, they are those of all."""
    shared = len(rows) == 1
    parts = {f"{m}.{k}": t for m, c in split.columns.items() for k, t in _column(c, rows).items()}
    at = torch.stack(list(rows)).to(split.target.device)
    tensors = {**parts, TARGET: split.target[at]}
    on_device = {k: t.to(device, non_blocking=True) for k, t in tensors.items()}
    return MemberBatch({k: t[0] for k, t in on_device.items()} if shared else on_device, shared)


def vectors_once(split: Split) -> Split:
    """Plain vectors held once: where the one token is the pooled vector, both are one tensor."""
    columns = {}
    for modality, column in split.columns.items():
        values = column.values
        if isinstance(values, Encoded) and torch.equal(values.tokens.flatten(1), values.pooled):
            values = Encoded(values.tokens, values.mask, values.tokens.squeeze(1))
        columns[modality] = Column(values, column.index)
    return Split(columns, split.target, split.slices, split.source)


def as_split(tensors: Mapping[str, Tensor]) -> Split:
    """One member's batch, as its model reads it."""
    columns = {}
    for modality in dict.fromkeys(k.rpartition(".")[0] for k in tensors if k != TARGET):
        part = {k.rpartition(".")[2]: t for k, t in tensors.items() if k.startswith(f"{modality}.")}
        values = (
            Encoded(part["tokens"], part["mask"], part["pooled"])
            if "tokens" in part
            else part["values"]
        )
        columns[modality] = Column(values, part.get("index"))
    return Split(columns, tensors[TARGET])


def _column(column: Column, rows: Sequence[Tensor]) -> dict[str, Tensor]:
    """Its tensors for these rows, each (members, …)."""
    if isinstance(column.values, Encoded):
        return _encoded(column.values, column.index, torch.stack(list(rows)))
    if column.index is None:
        taken = column.rows(torch.cat(list(rows))).values
        return {"values": _tensor(taken).unflatten(0, (len(rows), -1))}
    return _shared_values([column.rows(r) for r in rows])


def _encoded(features: Encoded, index: Tensor | None, rows: Tensor) -> dict[str, Tensor]:
    """Features are looked up row by row: there is nothing left to encode only once."""
    at = (rows if index is None else index[rows]).to(features.tokens.device)
    flat, present = at.clamp(min=0).flatten(), (at != MISSING).unsqueeze(-1)
    mask = features.mask[flat].unflatten(0, at.shape) & present
    tokens = features.tokens[flat].unflatten(0, at.shape)
    if features.pooled.data_ptr() == features.tokens.data_ptr():  # see ``vectors_once``
        pooled = tokens.squeeze(-2)
    else:
        pooled = features.pooled[flat].unflatten(0, at.shape)
    if index is not None:
        pooled = pooled * present
    return {"tokens": tokens, "mask": mask, "pooled": pooled}


def _shared_values(columns: Sequence[Column]) -> dict[str, Tensor]:
    """Each member's distinct values, as many as the member with most has; each encoded once."""
    values = [_tensor(column.values) for column in columns]
    most = max(1, *map(len, values))
    padded = values[0].new_zeros(len(columns), most, *values[0].shape[1:])
    for row, taken in zip(padded, values, strict=True):
        row[: len(taken)] = taken
    indices = [column.index for column in columns if column.index is not None]
    return {"values": padded, "index": torch.stack(indices)}


def _tensor(values: object) -> Tensor:
    if not isinstance(values, Tensor):
        raise TypeError(f"An encoder's prepare must return tensors; got {type(values).__name__}.")
    return values
