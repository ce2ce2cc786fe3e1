"""What is worth knowing of the classes of a target before they are learnt."""

from collections.abc import Iterable, Sequence

import numpy as np

from mmbench.errors import UnusableData
from mmbench.tables.findings import Finding, listed, rows_named
from mmbench.tables.numbers import MOST

IMBALANCE = 10.0
"""How many times larger than the smallest the largest class is, for it to be said."""

FEWEST_STEPS = 3
"""Classes of two numbers have no order to lose."""


def alike(outputs: Iterable[str], name: str, what: str = "classes") -> list[Finding]:
    """Classes or categories that may be one: only the user knows."""
    spellings: dict[str, list[str]] = {}
    for label in outputs:
        spellings.setdefault(" ".join(label.casefold().split()), []).append(repr(label))
    same = [" and ".join(labels) for labels in spellings.values() if len(labels) > 1]
    says = f"{what} differ only in case or blanks: {listed(same)}. Write them alike if so"
    return [Finding(name, says)] if same else []


def ordered(outputs: Sequence[str], name: str) -> list[Finding]:
    """What is said of classes that are whole numbers; from 0 on they may be codes of anything."""
    if len(outputs) < FEWEST_STEPS or outputs[0] == "0":
        return []
    if not all(label.lstrip("-").isdigit() for label in outputs):
        return []
    says = (
        f"whole numbers from {outputs[0]} to {outputs[-1]} are read as classes, without their "
        "order. If they say how much: --target-kind regression"
    )
    return [Finding(name, says)]


def uneven(
    codes: np.ndarray, known: np.ndarray, outputs: tuple[str, ...], name: str
) -> list[Finding]:
    """What is said of classes by how many rows they have; ``codes`` and ``known`` are (rows,)."""
    sizes = np.bincount(codes[known], minlength=len(outputs))
    found = []
    if len(alone := np.flatnonzero(sizes == 1)):
        at = [int(np.flatnonzero((codes == c) & known)[0]) for c in alone]
        pairs = zip(alone, at, strict=True)
        which = listed([f"{outputs[c]!r} ({rows_named([row])})" for c, row in pairs])
        if len(alone) >= MOST * sizes.sum():
            raise UnusableData(
                f"{len(alone):,} of {sizes.sum():,} rows have a class of their own in the target "
                f"{name!r}: {which}. No class is learnt from one row. If the target is a number, "
                "write it as 1234.5 and set --target-kind regression; else merge classes."
            )
        found.append(
            Finding(
                name,
                f"{len(alone):,} of {len(sizes):,} classes have one row only: {which}. Such a row "
                "is trained on and never tested; merge the class with another, or add rows",
            )
        )
    if sizes.max() > IMBALANCE * sizes.min():
        big, small = int(sizes.argmax()), int(sizes.argmin())
        found.append(
            Finding(
                name,
                f"classes are uneven: {outputs[big]!r} has {sizes[big]:,} rows "
                f"({sizes[big] / sizes.sum():.0%}), {outputs[small]!r} has "
                f"{sizes[small]:,}. Look at balanced accuracy too; "
                "`--objective balanced-softmax` counters it",
            )
        )
    return found
