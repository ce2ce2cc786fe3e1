"""What flows between the stages of a trial: columns, encoded modalities, splits, the task."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

Kind = Literal["image", "text", "audio", "tabular", "series", "video"]
Part = Literal["train", "val", "test"]
TargetKind = Literal["classification", "multilabel", "regression", "retrieval", "sequence"]

ALL_TARGETS: frozenset[TargetKind] = frozenset({"classification", "multilabel", "regression"})
"""What is answered by one number or class, or by a few: every paradigm and fusion serves these."""

FUSED_TARGETS: frozenset[TargetKind] = frozenset(
    {"classification", "multilabel", "regression", "sequence"}
)
"""What is answered from all modalities together. Of retrieval, one modality answers another."""

MISSING = -1
"""The index of a row that has no value in a column."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One modality after its encoder.

    A plain vector is a sequence of length one; a missing modality is a row whose mask is all False.
    """

    tokens: Tensor  # (batch, time, dim)
    mask: Tensor  # (batch, time), True where a token is real
    pooled: Tensor = None  # type: ignore[assignment]  # (batch, dim); the masked mean if not given

    def __post_init__(self) -> None:
        if self.tokens.ndim != 3 or self.mask.shape != self.tokens.shape[:2]:
            raise ValueError(
                f"Encoded takes tokens (batch, time, dim) and mask (batch, time); got tokens "
                f"{tuple(self.tokens.shape)} and mask {tuple(self.mask.shape)}."
            )
        if self.pooled is None:
            object.__setattr__(self, "pooled", masked_mean(self.tokens, self.mask))

    @classmethod
    def vector(cls, vector: Tensor, present: Tensor | None = None) -> "Encoded":
        """Wrap one vector per sample (batch, dim) as a sequence of length one."""
        if present is None:
            present = torch.ones(vector.shape[0], dtype=torch.bool, device=vector.device)
        return cls(vector.unsqueeze(1), present.unsqueeze(1), vector * present.unsqueeze(1))

    @property
    def present(self) -> Tensor:
        """(batch,), False where the modality is missing."""
        return self.mask.any(dim=1)

    def without(self, rows: Tensor) -> "Encoded":
        """As if the modality were missing in these rows (batch,), True where it is to go."""
        kept = ~rows.unsqueeze(1)
        return Encoded(self.tokens, self.mask & kept, self.pooled * kept)

    def __len__(self) -> int:
        return self.tokens.shape[0]

    def __getitem__(self, rows: Tensor) -> "Encoded":
        return Encoded(self.tokens[rows], self.mask[rows], self.pooled[rows])

    @property
    def nbytes(self) -> int:
        """Of all three; a vector that is its own pooled vector counts twice."""
        return self.tokens.nbytes + self.mask.nbytes + self.pooled.nbytes

    def to(self, device: torch.device) -> "Encoded":
        return self.each(lambda tensor: moved(tensor, device))

    def each(self, change: Callable[[Tensor], Tensor]) -> "Encoded":
        return Encoded(change(self.tokens), change(self.mask), change(self.pooled))


Features = Mapping[str, Encoded]
"""What a fusion reads: each modality by its name."""


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """On ``device``; the host waits only where it is about to read."""
    return tensor.to(device, non_blocking=device.type == "cuda")


def masked_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean over real tokens (batch, dim); zeros where there is none."""
    weights = mask.unsqueeze(-1).to(tokens.dtype)
    # where, not a product alone: an infinite or NaN padding value must not leak through 0 × inf
    return torch.where(mask.unsqueeze(-1), tokens, 0.0).sum(1) / weights.sum(1).clamp(min=1)


@runtime_checkable
class LazyValues(Protocol):
    """Values decoded when they are asked for, so that a column may be larger than memory."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor) -> Tensor: ...


Values = Tensor | tuple[str, ...] | LazyValues | Encoded


@dataclass(frozen=True, slots=True)
class Column:
    """The values of one modality for some rows.

    ``index`` says which value each row has; rows may share a value, and ``MISSING`` is none at all.
    Without an index, row i has value i. Encoders run once per value, never once per row.
    """

    values: Values
    index: Tensor | None = None  # (rows,) int64, on the CPU

    def __len__(self) -> int:
        return len(self.values) if self.index is None else len(self.index)

    @property
    def is_encoded(self) -> bool:
        return isinstance(self.values, Encoded)

    @property
    def value_of_row(self) -> Tensor:
        """(rows,) int64: which value each row has, whether there is an index or not."""
        return torch.arange(len(self.values)) if self.index is None else self.index

    @property
    def present(self) -> Tensor:
        """(rows,), False where a row has no value."""
        return self.value_of_row != MISSING

    def dealt(self, rows: Tensor) -> "Column":
        """Row i with what row ``rows[i]`` had; values stay, and so does what is known of them."""
        return Column(self.values, self.value_of_row[rows])

    def rows(self, rows: Tensor) -> "Column":
        """These rows, with only the values that they use."""
        if self.index is None:
            return Column(self._take(rows))
        used, index = self.index[rows].unique(return_inverse=True)
        if len(used) and used[0] == MISSING:
            used, index = used[1:], index - 1
        return Column(self._take(used), index)

    def _take(self, which: Tensor) -> Values:
        if isinstance(self.values, tuple):
            return tuple(self.values[i] for i in which.tolist())
        if isinstance(self.values, Tensor):
            return self.values[moved(which, self.values.device)]
        if isinstance(self.values, Encoded):
            return self.values[moved(which, self.values.tokens.device)]
        return self.values[which]

    def spread(self, encoded: Encoded) -> Encoded:
        """From one entry per value to one per row; rows without a value are masked out."""
        if self.index is None:
            return encoded
        index = moved(self.index, encoded.tokens.device)
        if len(encoded) == 0:  # every row of this batch misses the modality
            dim = encoded.tokens.shape[-1]
            nothing = encoded.tokens.sum() + encoded.pooled.sum()  # 0, as the gradient is to be
            empty = encoded.tokens.new_zeros(len(index), 1, dim) + nothing
            return Encoded(empty, torch.zeros_like(empty[..., 0], dtype=torch.bool), empty[:, 0])
        taken, present = encoded[index.clamp(min=0)], index != MISSING
        return Encoded(
            taken.tokens, taken.mask & present.unsqueeze(1), taken.pooled * present.unsqueeze(1)
        )

    def to(self, device: torch.device) -> "Column":
        """With values on ``device``; the index stays on the CPU, where batches are planned."""
        here = self.values.tokens if isinstance(self.values, Encoded) else self.values
        if not isinstance(here, Tensor) or here.device == device:
            return self
        return self.each(lambda tensor: moved(tensor, device))

    def each(self, change: Callable[[Tensor], Tensor]) -> "Column":
        """With every tensor of its values changed; what is no tensor stays."""
        if isinstance(self.values, Tensor):
            return replace(self, values=change(self.values))
        if isinstance(self.values, Encoded):
            return replace(self, values=self.values.each(change))
        return self


@dataclass(frozen=True, slots=True)
class Split:
    """Some rows of a dataset: a whole part of it, or a batch."""

    columns: Mapping[str, Column]
    target: Tensor
    """(rows,) classes, (rows, n_outputs) labels, (rows,) numbers.

    Of retrieval (rows, 2): which item each of the two sides shows. Two items belong together if a
    row has both; rows that share an item share a place in the index that is searched.

    Of a sequence (rows, length) tokens; what follows the first ``END`` is no matter.
    """
    slices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Named groupings of the rows to score apart, such as the type of each question."""
    source: Tensor | None = None
    """(rows,) what each row was taken from (an image, a subject): no source may be in two parts."""
    ids: Tensor | None = None
    """(rows,) of a batch: where each row stands in its part; on the CPU."""

    def __len__(self) -> int:
        return len(self.target)

    def rows(self, rows: Tensor) -> "Split":
        """These rows as a batch: columns, target and ids, without slices and sources."""
        return Split(
            {m: column.rows(rows) for m, column in self.columns.items()},
            self.target[moved(rows, self.target.device)],
            ids=rows if self.ids is None else self.ids[rows],
        )

    def batches(self, size: int) -> Iterator["Split"]:
        """All rows in order, at most ``size`` at a time; the last batch may be shorter."""
        for rows in torch.arange(len(self)).split(size):
            yield self.rows(rows)

    def with_column(self, modality: str, column: Column) -> "Split":
        return replace(self, columns={**self.columns, modality: column})

    def to(self, device: torch.device) -> "Split":
        columns = {m: column.to(device) for m, column in self.columns.items()}
        same = all(columns[m] is column for m, column in self.columns.items())
        if same and self.target.device == device:
            return self
        return replace(self, columns=columns, target=moved(self.target, device))

    def pinned(self) -> "Split":
        """In page-locked memory, from where a GPU fetches it without the host waiting."""
        columns = {m: column.each(_pinned) for m, column in self.columns.items()}
        return replace(self, columns=columns, target=_pinned(self.target))


def _pinned(tensor: Tensor) -> Tensor:
    """What is on a device already is where it is to go."""
    return tensor.pin_memory() if tensor.device.type == "cpu" else tensor


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked of a model: modalities and their kinds in, outputs of a kind out."""

    modalities: Mapping[str, Kind]
    target: TargetKind
    outputs: tuple[str, ...]
    """One name per output: the classes, the labels, or the numbers predicted; none of retrieval,
    which asks for an embedding of each of two modalities, of any width. Of a sequence: the tokens,
    the one that ends it first."""
    metric: str
    """The main metric: search and ranking go by it."""
    optimum: float | None = None
    """The best possible value of the main metric, where it is known in closed form."""
    mirrored: tuple[str, ...] = ()
    """Modalities of images that mean the same with left and right exchanged: see ``train.flip``."""
    length: int = 1
    """How many tokens a sequence has at most, its end included."""
    figures: tuple[str, ...] = ()
    """Metrics that its field reports and that say nothing of other tasks: beside the usual ones."""

    @property
    def fuses(self) -> bool:
        """Whether modalities answer together, so that one can be asked what each of them brings."""
        return self.target in FUSED_TARGETS

    @property
    def n_outputs(self) -> int:
        """How many scores a row has."""
        return self.length * len(self.outputs)
