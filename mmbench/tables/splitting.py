"""Which row is in which part: by shares, by a column, or by groups that stay whole."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmbench.errors import InvalidParameter, UnusableData, did_you_mean
from mmbench.parts import PARTS
from mmbench.tables.cells import strings
from mmbench.tables.copies import Groups
from mmbench.tables.filled import ROWS
from mmbench.tables.findings import Finding, counted, listed, rows_named
from mmbench.types import Part

SHARES = (0.8, 0.1, 0.1)
SHORT = 0.5
"""Of its share: a part with fewer rows is worth a word."""
NAMES: Mapping[str, str] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "dev": "val", "test": "test", "testing": "test",
}  # fmt: skip
"""What a split column may hold, in any case."""


@dataclass(frozen=True, slots=True)
class How:
    """What ``--split`` asks for."""

    shares: tuple[float, ...] = SHARES
    group: str = ""
    """A column whose rows with one value stay in one part."""
    column: str = ""
    """A column that says the part of each row."""


def parse_split(text: str, columns: list[str]) -> How:
    """``0.8/0.1/0.1``, ``group=owner``, ``group=owner,0.7/0.15/0.15``, or a column's name."""
    if text in columns:
        return How(column=text)
    group, rest = "", text
    if text.startswith("group="):
        group, _, rest = text.removeprefix("group=").partition(",")
        if group not in columns:
            raise InvalidParameter(
                f"--split {text}: there is no column {group!r}.{did_you_mean(group, columns)} "
                f"Columns: {', '.join(columns)}."
            )
    try:
        shares = tuple(float(share) for share in rest.split("/")) if rest else SHARES
    except ValueError:
        shares = ()
    if len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise InvalidParameter(
            f"--split {text!r} is no column of the table and no shares."
            f"{did_you_mean(text, columns)} Give a column that holds train, val and test, "
            "group=COLUMN, or three shares above 0 that make 1, as in 0.8/0.1/0.1."
        )
    return How(shares, group)


def given_parts(cells: pd.Series) -> np.ndarray:
    """(rows,) the part that a column states, empty where it states none."""
    texts = strings(cells).map(lambda s: s.strip().lower(), na_action="ignore")
    unknown = texts.notna() & ~texts.isin(list(NAMES))
    if unknown.any():
        rows = np.flatnonzero(unknown.to_numpy())
        raise UnusableData(
            f"The split column {cells.name!r} holds {texts.iloc[rows[0]]!r} in {rows_named(rows)}. "
            "Allowed: train, val, test."
        )
    return texts.map(NAMES, na_action="ignore").fillna("").to_numpy(dtype=object)


def draw_parts(
    groups: Groups, strata: np.ndarray, shares: tuple[float, ...], seed: int
) -> np.ndarray:
    """(rows,) parts by shares; a group is never divided, each stratum is near the shares.

    Groups come in a seeded order. A stratum's first is trained on; each other goes where its
    stratum and all rows together are furthest behind: of small strata alone, each would be rounded
    the same way. ``strata`` (rows,) are classes, or zeros. From three groups on, no part with a
    share is empty.
    """
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(row)

    def rank(rows: list[int]) -> tuple[int, str]:
        digest = hashlib.sha256(f"{seed}/{rows[0]}".encode()).hexdigest()
        return -len(rows) if len(rows) > 1 else 0, digest

    parts = np.empty(len(groups), dtype=object)
    have: dict[int, np.ndarray] = {}
    whole = np.zeros(len(PARTS))
    drawn = sorted(members.values(), key=rank)
    for rows in drawn:
        own = have.setdefault(int(strata[rows[0]]), np.zeros(len(PARTS)))
        behind = _behind(own, shares, len(rows)) + _behind(whole, shares, len(rows))
        chosen = int(np.argmax(behind)) if own.any() else 0
        own[chosen] += len(rows)
        whole[chosen] += len(rows)
        parts[rows] = PARTS[chosen]
    _leave_none_empty(parts, drawn, strata, shares)
    return parts


def _behind(counts: np.ndarray, shares: tuple[float, ...], n_more: int) -> np.ndarray:
    """(parts,) the rows that each part lacks of its share, once there are ``n_more``."""
    lacking: np.ndarray = np.asarray(shares) * (counts.sum() + n_more) - counts
    return lacking


def _leave_none_empty(
    parts: np.ndarray, drawn: Sequence[list[int]], strata: np.ndarray, shares: tuple[float, ...]
) -> None:
    """Few groups are taken for training before another part is as far behind: it is given one.

    The last, so the smallest, of the part with the most groups; rather not one of a stratum alone.
    """
    for part, share in zip(PARTS, shares, strict=True):
        if share == 0 or (parts == part).any():
            continue
        held = [[rows for rows in drawn if parts[rows[0]] == other] for other in PARTS]
        most = max(held, key=len)
        sizes = Counter(strata[rows[0]] for rows in most)
        spare = [rows for rows in most if sizes[strata[rows[0]]] > 1] or most
        if len(most) > 1:
            parts[spare[-1]] = part


def check_parts_filled(parts: np.ndarray, how: How, groups: Groups, said: Sequence[str]) -> None:
    """Raise ``UnusableData`` if a part has no rows, with the reason; ``said`` is known of ties."""
    empty = [part for part in PARTS if not (parts == part).any()]
    if not empty:
        return
    left, together = " and ".join(empty), counted(len(np.unique(groups)), "group")
    if how.column:
        why = f"The split column {how.column!r} has no row for {left}"
        mend = "Name rows of every part in it, those of one tie in one part, or leave --split out."
    elif how.group:
        why = (
            f"The group column {how.group!r} has {together} of rows, which stay together: {left} "
            "would be empty"
        )
        mend = "At least three groups are needed; choose another column, or shares."
    else:
        why = f"{len(parts)} rows in {together} that belong together leave {left} empty"
        mend = "At least three groups are needed: add rows that are no copies of these."
    raise UnusableData(f"{'; '.join([why, *said])}. {mend}")


def short_parts(parts: np.ndarray, shares: tuple[float, ...]) -> list[Finding]:
    """What is said of a part that is less than half of what was asked for."""
    placed = parts[parts != ""]
    sizes = {part: int((placed == part).sum()) for part in PARTS}
    short = [
        f"{part} has {sizes[part]:,} of {len(placed):,} rows, its share is {share:.0%}"
        for part, share in zip(PARTS, shares, strict=True)
        if sizes[part] < SHORT * share * len(placed)
    ]
    why = "Rows that belong together stay whole, and each class's first are trained on"
    return [Finding("split", f"{'; '.join(short)}. {why}")] if short else []


def crossing(parts: np.ndarray, tied: Groups) -> np.ndarray:
    """(rows,) training or validation rows that share a key with a row of a later part."""
    held = {part: set(tied[(parts == part) & (tied >= 0)].tolist()) for part in PARTS}
    later = {"train": held["val"] | held["test"], "val": held["test"], "test": set()}
    return np.array(
        [bool(part) and key in later[part] for part, key in zip(parts, tied, strict=True)],
        dtype=bool,
    )


def left_out(rows: np.ndarray, sign: str) -> Finding:
    """What is said when copies are taken out of a split that the user gave."""
    return Finding(
        "split",
        f"{len(rows):,} rows of an earlier part are {sign} of a later part and are left out: "
        f"{rows_named(rows)}",
        "done",
        tuple(rows_named([row]) for row in rows),
    )


def unseen_classes(
    sizes: Mapping[Part, np.ndarray], outputs: tuple[str, ...], name: str
) -> list[Finding]:
    """Classes or labels that cannot be learnt, or that no score speaks of.

    ``sizes`` (outputs,) by part: how many rows have each. Those of a single row are said elsewhere.
    """
    learnt, some = sizes["train"] > 0, sum(sizes.values()) > 0
    found = [] if (some <= learnt).all() else [_lacking("train", some & ~learnt, outputs, name)]
    several = sum(sizes.values()) > 1
    for part in PARTS[1:]:
        absent = learnt & several & (sizes[part] == 0)
        found += [_lacking(part, absent, outputs, name)] if absent.any() else []
    return found


def _lacking(part: Part, which: np.ndarray, outputs: tuple[str, ...], name: str) -> Finding:
    what = listed([repr(outputs[c]) for c in np.flatnonzero(which)])
    then = "it cannot be learnt" if part == "train" else "scores on it say nothing of it"
    return Finding(name, f"no {ROWS[part]} row has {what}: {then}")
