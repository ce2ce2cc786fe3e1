"""What a graph is made with, and what it and the model are both asked.

Any number of rows is one graph's matter. So are texts of any length where the model's parts allow
it: a recurrent layer does not. Its graph is made for the longest that its encoder prepares.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.fx.experimental.symbolic_shapes import is_concrete_int
from torch.nn import functional as F

from mmbench.contracts import Encoder
from mmbench.saved import SavedModel

TRIED = 8
"""Requests that both are asked."""
LONGEST = 256
"""Words of a text that is longer than what most encoders read."""
ANY = ("rows", "words")
"""What sizes are of that a graph leaves open, by their place."""

Inputs = dict[str, Tensor]


class NotTraced(Exception):
    """A model is no graph; the message says which part of it, and why."""


def some_inputs(saved: SavedModel) -> Inputs:
    """By modality, one entry per row, of a few whole requests. ``NotTraced`` if there are none."""
    if not saved.model.encoders_by_modality:
        raise NotTraced("the model reads nothing")
    columns = saved.requests.columns
    there = torch.stack([column.present for column in columns.values()])
    whole = there.all(0).nonzero().flatten()[:TRIED]
    if not len(whole):
        raise NotTraced("every request kept with the model misses a modality")
    if len(whole) == 1:  # of a size of one torch.export makes a constant
        whole = whole.repeat(2)
    found: Inputs = {}
    for modality, column in columns.items():
        assert isinstance(column.values, Tensor)
        found[modality] = column.values[column.value_of_row[whole]]
    return found


def long_inputs(saved: SavedModel) -> Inputs:
    """``some_inputs`` with texts filled up to the length of the longest that can be asked."""
    encoders = saved.model.encoders_by_modality
    return {m: _filled_up(encoders[m], values) for m, values in some_inputs(saved).items()}


def _filled_up(encoder: Encoder, values: Tensor) -> Tensor:
    """A short text beside a long one shows what its encoder fills it up with, and how far."""
    if encoder.accepts != "text" or values.ndim != 2:
        return values
    both = encoder.prepare(("a", "a " * LONGEST))
    assert isinstance(both, Tensor)  # as the values were
    more = max(0, both.shape[1] - values.shape[1])
    return F.pad(values, (0, more), value=both[0, -1].item())


def asks(program: ExportedProgram, inputs: Inputs) -> Iterator[Inputs]:
    """All rows; and one of them, cut short where the graph takes texts of any length."""
    yield inputs
    open_ = {m: sizes[1:2] == [None] for m, sizes in _sizes(program, inputs).items()}
    yield {m: x[:1, : -(-x.shape[1] // 2)] if open_[m] else x[:1] for m, x in inputs.items()}


def reads(program: ExportedProgram, inputs: Inputs) -> dict[str, str]:
    """By modality what a graph takes, as in ``int64 (rows, words)``."""
    found = {}
    for modality, sizes in _sizes(program, inputs).items():
        said = [ANY[place] if size is None else str(size) for place, size in enumerate(sizes)]
        kind = str(inputs[modality].dtype).removeprefix("torch.")
        found[modality] = f"{kind} ({', '.join(said)})"
    return found


def _sizes(program: ExportedProgram, inputs: Inputs) -> dict[str, list[int | None]]:
    """Of what a graph takes of each modality; None: any."""
    given = program.graph.find_nodes(op="placeholder")
    shapes = {node.name: node.meta["val"].shape for node in given}
    taken = [shapes[name] for name in program.graph_signature.user_inputs]
    return {
        modality: [int(size) if is_concrete_int(size) else None for size in shape]
        for modality, shape in zip(inputs, taken, strict=True)
    }
