"""A vector for each word and each pair of words, averaged: rare names count from the first step.

Joulin, Grave, Bojanowski & Mikolov, "Bag of Tricks for Efficient Text Classification", EACL 2017.
Vectors begin as small as there, one over their width: at the usual length the random part of terms
that few texts have drowns what is learnt of the others (on ``films`` R² .15 instead of .25).
Differs from the paper: pairs are looked up, not hashed, so that no two share a vector, and the sum
is divided by the root of the text's length, as in ``bag-of-words``.
"""

from collections import Counter
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._words import FEWEST, PADDING, padded, strings, terms, training_texts
from mmbench.hookspecs import hookimpl
from mmbench.space import Range
from mmbench.types import Column, Encoded, Values

TERMS_LIMIT = 65_536


class FastText(Encoder):
    """Reads (texts, terms) places; a term that training did not have is left out."""

    name = "fasttext"
    accepts = "text"

    def __init__(
        self,
        fitted: Fitted,
        *,
        width: Annotated[int, Range(16, 256, log=True)] = 64,
        max_terms: int = 512,
    ) -> None:
        super().__init__(fitted)
        self.places = {term: place for place, term in enumerate(fitted["terms"], PADDING + 1)}
        self.max_terms = max_terms
        self.embed = nn.Embedding(len(self.places) + 1, width, padding_idx=PADDING)
        with torch.no_grad():
            self.embed.weight.uniform_(-1 / width, 1 / width)[PADDING] = 0.0
        self.out_dim = width

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """The terms that most training texts have, equal ones by the alphabet."""
        found = Counter(
            term for text in training_texts(train) for term in dict.fromkeys(terms(text))
        )
        least = FEWEST if any(count >= FEWEST for count in found.values()) else 1
        kept = [term for term, count in found.items() if count >= least]
        return {"terms": sorted(kept, key=lambda term: (-found[term], term))[:TERMS_LIMIT]}

    def prepare(self, values: Values) -> Tensor:
        """(texts, terms) int64, padded to the longest text."""
        known = [
            [self.places[term] for term in terms(text) if term in self.places][: self.max_terms]
            for text in strings(values)
        ]
        return padded(known, PADDING)

    def forward(self, inputs: Tensor) -> Encoded:
        vectors = self.embed(inputs)  # (texts, terms, width)
        there = (inputs != PADDING).to(vectors.dtype)
        weights = there / there.sum(1, keepdim=True).clamp(min=1).sqrt()
        return Encoded.vector((weights.unsqueeze(1) @ vectors).squeeze(1))


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [FastText]
