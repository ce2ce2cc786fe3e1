"""What a row says beyond quality and cost, in plain JSON: calibration, robustness and so on.

All of it is optional: a row of an older mmbench, or of a quick run, has None.
"""

from typing import Annotated, NotRequired

from annotated_types import Len
from typing_extensions import TypedDict

Pair = Annotated[list[float], Len(2, 2)]


class Predictions(TypedDict):
    """Where the scores on test lie, beside the row, so that any metric can be computed again."""

    file: str
    """A name without folders; ``mmbench.evaluation.predictions`` reads it."""
    sha256: str


def predictions_file(row_id: str) -> str:
    return f"{row_id}.predictions.safetensors.xz"


class Reliability(TypedDict):
    """One entry for each of 15 equal bins of confidence; None where a bin has no rows."""

    edges: list[float]
    """Lower edge of each bin, and 1."""
    rows: list[int]
    """Test rows, each counted once per fresh seed."""
    confidence: list[float | None]
    """Mean probability of the predicted class."""
    accuracy: list[float | None]
    """Share of rows where that class was right."""


class RobustnessIntervals(TypedDict):
    """[low, high], 95 % over seeds and sources of rows, of the figures of the same names."""

    clean: Pair
    missing: dict[str, Pair]
    shuffled: dict[str, Pair]
    conflict: dict[str, Pair]
    area: dict[str, Pair]


class Robustness(TypedDict):
    """The main metric on disturbed test rows, averaged over the fresh seeds.

    Level 0 is the identity, so the first figure of every curve is ``clean``.
    """

    rows: int
    """How many rows of test were disturbed: all, or that many evenly spread."""
    clean: float
    missing: dict[str, float]
    """By the modalities that every row misses, joined by ``+``: every proper subset."""
    missing_share: dict[str, list[Pair]]
    """By modality: [share of rows that miss it, score], the share rising from 0 to 1."""
    corrupted: dict[str, dict[str, list[float]]]
    """By modality, then kind of noise: the score at severities 0 to 5."""
    shuffled: dict[str, float]
    """By modality, its values given to other rows: how much is it listened to?"""
    conflict: dict[str, float]
    """By modality, taken from a row of another class: how often does the rest still win?"""
    area: dict[str, float]
    """Mean of each curve over its levels, by ``modality/noise``; and ``all``, their mean."""
    intervals: NotRequired[RobustnessIntervals]
    """Of a metric that is a mean over rows."""


class Contribution(TypedDict):
    """What each modality brings to the main metric on test, averaged over the fresh seeds."""

    rows: int
    subsets: dict[str, float]
    """By the modalities present, joined by ``+``, the others missing; ``""`` is none of them.

    All subsets; beyond six modalities only none, each alone, and all."""
    shapley: dict[str, float]
    """By modality; they sum to the score of all less that of none. Sampled beyond six."""
    emap: float | None
    """The score of the best additive stand-in (Hessel & Lee, EMNLP 2020); None if too dear."""
    interaction: float | None
    """Clean score of the same rows less ``emap``: what only interaction brings."""
    gradient_share: dict[str, float]
    """By modality: its share of the gradient norm of the loss with respect to features."""
    weights: dict[str, float] | None
    """By modality: the mean weight or gate that the fusion itself reports."""


class Representation(TypedDict):
    """How well fused vectors of test cluster by class (k-means), averaged over the seeds."""

    nmi: float
    ari: float
    silhouette: float
    """Of the classes themselves among the fused vectors."""
