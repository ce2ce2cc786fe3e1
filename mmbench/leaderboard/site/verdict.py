"""What an interval of a difference says, as a word, a sign and a class: never colour alone."""

from dataclasses import dataclass

from mmbench.leaderboard.cells import gain_verdict
from mmbench.leaderboard.row import Row


@dataclass(frozen=True, slots=True)
class Verdict:
    """One of five; what is known has a sign of its own."""

    key: str
    """A class of the stylesheet: ``better``, ``unsure``, ``worse`` or ``unknown``."""
    sign: str
    answer: str
    """To the question whether fusion helps."""
    words: str
    """Of a row."""


HELPS = Verdict("better", "▲", "Yes", "helps")
UNSURE = Verdict("unsure", "◇", "Not shown", "not shown to help")
HURTS = Verdict("worse", "▼", "No, it hurts", "shown to hurt")
UNKNOWN = Verdict("unknown", "·", "Not known", "not compared")
NOTHING = Verdict("unknown", "·", "Nothing is fused", "nothing is fused")
"""Of a task of one modality, or where one modality answers another."""


def verdict(row: Row | None) -> Verdict:
    """Of the gain over the best single modality; ``UNKNOWN`` where there is no such gain."""
    if row is None or row.gain is None:
        return UNKNOWN
    return {"": HELPS, UNSURE.words: UNSURE, HURTS.words: HURTS}[gain_verdict(row)]
