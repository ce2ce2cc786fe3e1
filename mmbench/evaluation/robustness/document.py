"""All disturbances of one model put together, and the average of several such documents.

A document has the shape of ``mmbench.leaderboard.diagnoses.Robustness``; that of one seed also has
``draws``, what its headline figures are on resamples of the sources of its rows, how many
``sources`` there are, and the ``ends`` of the metric, from which the intervals over seeds and rows
follow.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from mmbench.contracts import Encoder
from mmbench.evaluation.averaging import averaged
from mmbench.evaluation.estimates import (
    Ends,
    Estimate,
    mean,
    reach,
    spread_of_seeds,
    spread_of_sources,
)
from mmbench.evaluation.resampling import count_sources
from mmbench.evaluation.robustness.audio import AUDIO
from mmbench.evaluation.robustness.image import IMAGE
from mmbench.evaluation.robustness.noise import SEVERITIES, Noise
from mmbench.evaluation.robustness.numbers import SERIES, TABULAR
from mmbench.evaluation.robustness.rows import (
    MISSING_SHARES,
    conflicting,
    missing,
    opposed,
    shuffled,
)
from mmbench.evaluation.robustness.subject import Encode, Score, Subject, encode_now
from mmbench.evaluation.robustness.text import TEXT
from mmbench.types import Kind, Split, TargetKind, Task

Document = dict[str, Any]
Curve = Sequence[Tensor | None]
HEADLINES = ("clean", "missing", "shuffled", "conflict", "area")
"""What has an interval; the points of a curve have none of their own."""
SEED_ALONE = ("draws", "sources", "ends")
"""What the document of several seeds does not have."""

NOISES: Mapping[Kind, tuple[Noise[Any], ...]] = {
    "image": IMAGE,
    "video": IMAGE,
    "text": TEXT,
    "audio": AUDIO,
    "tabular": TABULAR,
    "series": SERIES,
}


def robustness(
    rows: Split,
    task: Task,
    encoders: Mapping[str, Encoder],
    score: Score,
    seed: int,
    encode: Encode = encode_now,
    ends: Ends = (None, None),
) -> Document:
    """Every disturbance of some rows of test, which are as the dataset loaded them, in memory.

    ``encoders`` are those of the modalities that the model reads: disturbing another changes
    nothing. Nothing goes to the feature cache. What the model cannot cope with is left out.
    Where modalities do not answer together, so is all that sets one of them against the others.
    ``ends`` are those of the metric.
    """
    subject = Subject(rows, encoders, score, seed, encode)
    modalities = list(task.modalities) if task.fuses else []
    shares = _missing_share(subject, modalities)
    corrupted = {m: _corrupted(subject, m, kind) for m, kind in task.modalities.items()}
    found = {
        "clean": subject.clean,
        "missing": _missing(subject, modalities),
        "missing_share": shares,
        "corrupted": corrupted,
        "shuffled": _given(
            {m: subject.rearranged(f"{m} shuffled", [m], shuffled) for m in modalities}
        ),
        "conflict": _conflict(subject, modalities, task.target),
        "area": areas(shares, corrupted),
    }
    document = {"rows": len(rows), **_each(found, lambda score: score[0].item())}
    if len(subject.clean) == 1:
        return document
    headlines = {name: found[name] for name in HEADLINES}
    sources = count_sources(rows.target, rows.source)
    drawn = _each(headlines, lambda score: score[1:].tolist())
    return {**document, "draws": drawn, "sources": sources, "ends": list(ends)}


def _each(found: Any, figure: Callable[[Tensor], Any]) -> Any:
    """The same document with something else in place of every score."""
    if isinstance(found, Tensor):
        return figure(found)
    if isinstance(found, dict):
        return {name: _each(inner, figure) for name, inner in found.items()}
    return [_each(inner, figure) for inner in found] if isinstance(found, list) else found


def _missing(subject: Subject, modalities: Sequence[str]) -> dict[str, Tensor]:
    """By every set of modalities that leaves at least one."""
    without = partial(missing, share=1.0)
    subsets = [s for size in range(1, len(modalities)) for s in combinations(modalities, size)]
    names = {"+".join(subset): subset for subset in subsets}
    return _given({n: subject.rearranged(f"{n} missing", s, without) for n, s in names.items()})


def _missing_share(subject: Subject, modalities: Sequence[str]) -> dict[str, list[list[Any]]]:
    """By modality, points: the share and its score."""
    curves = {
        m: [
            subject.rearranged(f"{share:.0%} of {m} missing", [m], partial(missing, share=share))
            for share in MISSING_SHARES
        ]
        for m in modalities
    }
    return {
        m: [list(point) for point in zip(MISSING_SHARES, curve, strict=True)]
        for m, curve in _whole(curves).items()
    }


def _corrupted(subject: Subject, modality: str, kind: Kind) -> dict[str, list[Tensor]]:
    """By noise; nothing for a modality that the dataset gives as features."""
    if subject.rows.columns[modality].is_encoded:
        return {}
    return _whole(
        {n.name: [subject.corrupted(modality, n, s) for s in SEVERITIES] for n in NOISES[kind]}
    )


def _conflict(subject: Subject, modalities: Sequence[str], kind: TargetKind) -> dict[str, Tensor]:
    groups = opposed(subject.rows.target, kind)
    if len(groups.unique()) < 2:  # nothing contradicts anything
        return {}
    taken = partial(conflicting, groups=groups)
    return _given({m: subject.rearranged(f"{m} in conflict", [m], taken) for m in modalities})


def _given(scores: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
    return {name: score for name, score in scores.items() if score is not None}


def _whole(curves: Mapping[str, Curve]) -> dict[str, list[Tensor]]:
    """The curves without a gap: the mean of a part would not compare with that of the whole."""
    found = {name: [s for s in curve if s is not None] for name, curve in curves.items()}
    return {name: curve for name, curve in found.items() if len(curve) == len(curves[name])}


def areas(
    missing_share: Mapping[str, Sequence[Sequence[Any]]],
    corrupted: Mapping[str, Mapping[str, Sequence[Any]]],
) -> dict[str, Any]:
    """The mean of each curve over its levels, the clean one included, and ``all``: their mean.

    Growing shares of missing rows are a curve like the noises, by ``modality/missing``.
    """
    found = {f"{m}/missing": _mean([s for _, s in curve]) for m, curve in missing_share.items()}
    found |= {f"{m}/{n}": _mean(c) for m, noises in corrupted.items() for n, c in noises.items()}
    return {**found, "all": _mean(list(found.values()))} if found else {}


def _mean(scores: Sequence[Any]) -> Any:
    return sum(scores) / len(scores)


def over_seeds(documents: Sequence[Document]) -> Document:
    """The mean of several, figure by figure; what one of them lacks is left out.

    With ``intervals`` over seeds and sources, if all have draws.
    """
    found = [{name: d[name] for name in d if name not in SEED_ALONE} for d in documents]
    whole: Document = averaged(found)
    whole["area"] = areas(whole["missing_share"], whole["corrupted"])
    if not all(name in d for d in documents for name in SEED_ALONE):
        return whole
    drawn = [d["draws"] for d in documents]
    return {**whole, "intervals": _intervals(drawn, documents, documents[0])}


def _intervals(draws: Sequence[Any], figures: Sequence[Any], seed: Document) -> Any:
    """By figure, [low, high]; those that every seed has. ``figures`` are on the rows themselves."""
    first = draws[0]
    if isinstance(first, dict):
        shared = [name for name in first if all(name in d for d in draws)]
        return {
            name: _intervals([d[name] for d in draws], [f[name] for f in figures], seed)
            for name in shared
        }
    over_seeds = torch.tensor(draws, dtype=torch.float64).mean(dim=0)  # (resamples,)
    ends: Ends = tuple(seed["ends"])
    of_sources = spread_of_sources(over_seeds, seed["sources"], reach(ends))
    spreads = [of_sources, spread_of_seeds(figures)]
    found = Estimate(mean(figures), spreads).interval().within(ends)
    return [found.low, found.high]
