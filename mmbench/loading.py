"""A part of a data set as its ``load`` gives it, refused in words if it is not what its task says.

Only what costs nothing to look at; the contract kit asks for all that a data set promises.
"""

from collections.abc import Iterator

from torch import Tensor

from mmbench.contracts import Dataset
from mmbench.errors import BrokenPlugin, UnusableData
from mmbench.types import Column, Part, Split, Task


def load_part(dataset: Dataset, part: Part, name: str = "") -> Split:
    """``name``: what its user calls the data set, if that is not its own name."""
    where = f"The part {part} of {name or dataset.name}"
    split: object = dataset.load(part)
    if fault := next(_faults(split, dataset.task), None):
        raise BrokenPlugin(
            f"{where} {fault}. `mmbench plugins check {dataset.name}` says all that its author has "
            "to mend."
        )
    assert isinstance(split, Split)
    if not len(split):
        raise UnusableData(
            f"{where} has no rows. Look over its files and its parameters: "
            "mmbench describe task says what they are."
        )
    return split


def _faults(split: object, task: Task) -> Iterator[str]:
    """What is wrong with a part; the first is what counts, the next may be of what is not there."""
    if not isinstance(split, Split):
        yield f"is {_kind(split)}, not a Split: `load` returns one"
        return
    if lacking := [m for m in task.modalities if m not in split.columns]:
        yield f"lacks the column {', '.join(lacking)}, which its task names as a modality"
    if more := [m for m in split.columns if m not in task.modalities]:
        known = ", ".join(task.modalities)
        yield f"has the column {', '.join(map(str, more))}; its task has the modalities {known}"
    if not isinstance(split.target, Tensor):
        yield f"has {_kind(split.target)} as its target, not a tensor"
        return
    yield from _shapeless(split.target, task)
    for modality, column in split.columns.items():
        if not isinstance(column, Column):
            yield f"has {_kind(column)} for {modality!r}, not a Column"
        elif len(column) != len(split):
            yield f"has {len(split):,} targets and {len(column):,} rows of {modality!r}"


def _shapeless(target: Tensor, task: Task) -> Iterator[str]:
    """A target that is not of the shape that its kind has."""
    of_kind: dict[str, list[tuple[int, ...]]] = {
        "classification": [()],
        "multilabel": [(task.n_outputs,)],
        "regression": [(), (task.n_outputs,)],
        "sequence": [(task.length,)],
        "retrieval": [(2,)],
    }
    allowed = of_kind[task.target]
    if target.ndim == 0 or tuple(target.shape[1:]) not in allowed:
        shape = ", ".join(["rows", *map(str, allowed[-1])])
        yield f"has a target of the shape {tuple(target.shape)}; for {task.target} it is ({shape})"
    elif task.target == "classification" and len(target):
        low, high = int(target.min()), int(target.max())
        if low < 0 or high >= task.n_outputs:
            yield f"has classes {low} to {high}; its task has 0 to {task.n_outputs - 1}"


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
