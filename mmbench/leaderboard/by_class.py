"""Whether what a row says of its classes fits together: confusion, reliability."""

from collections.abc import Sequence

from mmbench.errors import InvalidSpec
from mmbench.leaderboard.diagnoses import Reliability

MOST_CLASSES = 30
"""A confusion matrix of more would be most of the row's file, and nobody could read it."""


def check_classes(
    outputs: Sequence[str] | None,
    confusion: Sequence[Sequence[int]] | None,
    reliability: Reliability | None,
    where: str,
) -> None:
    """Raise ``InvalidSpec`` unless their lengths agree; all of them are optional."""
    if confusion is not None:
        _check_confusion(outputs or (), confusion, where)
    if reliability is not None:
        lengths = {len(reliability[key]) for key in ("rows", "confidence", "accuracy")}
        if lengths != {len(reliability["edges"]) - 1}:
            raise InvalidSpec(
                f"{where}: reliability has an entry for each bin, and one more edge than bins."
            )


def _check_confusion(
    outputs: Sequence[str], confusion: Sequence[Sequence[int]], where: str
) -> None:
    n = len(outputs)
    if n > MOST_CLASSES:
        raise InvalidSpec(f"{where}: confusion is of {MOST_CLASSES} classes at most; got {n}.")
    if n == 0 or len(confusion) != n or any(len(line) != n for line in confusion):
        raise InvalidSpec(f"{where}: confusion has a line and a column for each of outputs.")
    if any(count < 0 for line in confusion for count in line):
        raise InvalidSpec(f"{where}: confusion counts rows; a count is 0 or more.")
