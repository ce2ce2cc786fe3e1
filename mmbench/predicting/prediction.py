"""What a model says of one sample, in words and numbers instead of scores."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from mmbench.errors import UnusableData
from mmbench.sequences import END, said
from mmbench.types import Task

THRESHOLD = 0.5
"""A label whose probability is at least that is said to hold."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of one sample."""

    value: str | float | tuple[str, ...] | None
    """The class, the number, the labels that hold, how alike the two sides of a pair are, or the
    tokens of a sequence up to its end, with spaces between them. None: the sample is empty."""
    probabilities: Mapping[str, float]
    """By class or label; empty for a number, a pair and a sequence."""


EMPTY = Prediction(None, {})
"""Of a sample without a value, or of which the model gives no finite scores."""

OnBeyond = Callable[[int], None]
"""Is told the row of which the model gives no finite scores."""


def refuse_beyond(row: int) -> None:
    raise UnusableData(
        f"Row {row + 1}: the model gives no finite scores. A number in it is too far from those "
        "that the model was trained on; mend it, or leave it empty."
    )


def prediction(scores: Tensor, task: Task, mean: float, std: float) -> Prediction:
    """Of the scores (n_outputs,) of one sample; a number is brought back to its own scale."""
    names = task.outputs
    if task.target == "regression":
        return Prediction(float(scores[0]) * std + mean, {})
    if task.target == "retrieval":
        one, other = scores.chunk(2)
        return Prediction(float(one @ other), {})
    if task.target == "sequence":
        tokens = said(scores, task.length).tolist()
        spoken = tokens[: tokens.index(END)] if END in tokens else tokens
        return Prediction(" ".join(names[token] for token in spoken), {})
    if task.target == "multilabel":
        chances = dict(zip(names, scores.sigmoid().tolist(), strict=True))
        return Prediction(tuple(n for n, p in chances.items() if p >= THRESHOLD), chances)
    chances = dict(zip(names, scores.softmax(0).tolist(), strict=True))
    return Prediction(max(chances, key=chances.__getitem__), chances)
