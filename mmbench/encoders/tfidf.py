"""TF-IDF of the words and pairs of words that tell most of the training target; nothing trains.

Spärck Jones, "A Statistical Interpretation of Term Specificity", Journal of Documentation 1972;
choosing terms by the target as in Yang & Pedersen, "A Comparative Study on Feature Selection in
Text Categorization", ICML 1997.
Differs from the papers: a term counts as much as it covaries with the target, summed over texts, so
that the frequent go before the rare; that serves every kind of target.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._length import to_length
from mmbench.encoders._to_target import outputs
from mmbench.encoders._training_column import used_values
from mmbench.encoders._words import FEWEST, strings, terms, training_texts
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice
from mmbench.types import ALL_TARGETS, Column, Encoded, TargetKind, Values

MOST = 4096
"""Terms are chosen once, the most telling first; fewer of them are the first ones."""


class TfIdf(Encoder):
    """``(1 + log count) log((1 + texts) / (1 + texts with it) · e)``, each vector of one length.

    A text without a chosen term is zeros. Without a target, or where it is another modality, terms
    are chosen by the number of texts that they are in.
    """

    name = "tfidf"
    accepts = "text"
    frozen = True  # nothing to train

    def __init__(
        self, fitted: Fitted, *, width: Annotated[int, Choice(1024, 2048, 4096)] = 2048
    ) -> None:
        super().__init__(fitted)
        chosen = fitted["terms"][:width]
        self.places = {term: place for place, term in enumerate(chosen)}
        self.out_dim = len(chosen)
        self.register_buffer(
            "rarity", torch.tensor(fitted["rarity"][:width], dtype=torch.float32), persistent=False
        )
        self.rarity: Tensor

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """The terms that most texts have, and how rare each is."""
        return chosen_terms(training_texts(train), None)

    @classmethod
    def fit_to_target(cls, train: Column, target: Tensor, kind: TargetKind) -> Fitted:
        """The terms that covary most with the target, and how rare each is."""
        return chosen_terms(
            training_texts(train), said(train, target, kind) if kind in ALL_TARGETS else None
        )

    def prepare(self, values: Values) -> Tensor:
        """(texts, terms) int16 counts."""
        texts = strings(values)
        counts = torch.zeros(len(texts), self.out_dim, dtype=torch.int16)
        for row, text in enumerate(texts):
            for place in (self.places.get(term) for term in terms(text)):
                if place is not None:
                    counts[row, place] += 1
        return counts

    def forward(self, inputs: Tensor) -> Encoded:
        counts = inputs.float()
        weights = torch.where(counts > 0, 1 + counts.clamp(min=1).log(), 0.0) * self.rarity
        return to_length(Encoded.vector(weights))


def said(train: Column, target: Tensor, kind: TargetKind) -> Tensor:
    """(texts, outputs) of each text used, the sum of what its rows are above the mean."""
    numbers = outputs(target, kind)
    numbers = numbers - numbers.mean(0)
    if train.index is None:
        return numbers
    sums = torch.zeros(len(train.values), numbers.shape[1])
    there = train.present
    sums.index_add_(0, train.index[there], numbers[there])
    return sums[used_values(train)]


def chosen_terms(texts: Sequence[str], told: Tensor | None) -> Fitted:
    """``terms``, the most telling first and equal ones by the alphabet, and their ``rarity``."""
    names, counts = _counted(texts)
    found = np.bincount(counts.indices, minlength=len(names))  # texts with each term
    kept = np.flatnonzero(found >= (FEWEST if (found >= FEWEST).any() else 1))
    names, found = [names[place] for place in kept], found[kept]
    rarity = np.log((1 + len(texts)) / (1 + found)) + 1
    worth = found if told is None else _covariance(counts[:, kept], rarity, told.numpy())
    order = sorted(range(len(names)), key=lambda place: (-worth[place], names[place]))[:MOST]
    fitted: dict[str, Any] = {
        "terms": [names[place] for place in order] or [""],
        "rarity": [float(rarity[place]) for place in order] or [1.0],
    }
    return fitted


def _counted(texts: Sequence[str]) -> tuple[list[str], Any]:
    """The terms by the alphabet and a sparse matrix (texts, terms) of how often each occurs."""
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

    found = [terms(text) for text in texts]
    names = sorted({term for text in found for term in text})
    places = {term: place for place, term in enumerate(names)}
    columns = [places[term] for text in found for term in text]
    rows = np.repeat(np.arange(len(texts)), [len(text) for text in found])
    counts = csr_matrix(
        (np.ones(len(columns)), (rows, columns)), shape=(len(texts), max(1, len(names)))
    )
    counts.sum_duplicates()
    return names, counts


def _covariance(counts: Any, rarity: Any, told: Any) -> Any:
    """(terms,) the length of each term's covariances with the outputs."""
    from sklearn.preprocessing import normalize

    weights = counts.copy()
    weights.data = 1 + np.log(weights.data)
    return np.linalg.norm(normalize(weights.multiply(rarity).tocsr()).T @ told, axis=1).round(9)


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [TfIdf]
