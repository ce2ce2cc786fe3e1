"""TF-IDF of words and of letters in words, hashed into a fixed number of buckets; nothing trains.

Weinberger, Dasgupta, Langford, Smola & Attenberg, "Feature Hashing for Large Scale Multitask
Learning", ICML 2009. Letters tell what a word never seen in training is related to: with little
data this is hard to beat. Half of the buckets are for words and pairs of words, half for three to
five letters.
"""

from typing import Annotated, Any

import torch
from torch import Tensor

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._words import strings, training_texts
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice
from mmbench.types import Column, Encoded, Values

MOST = 2048
"""Buckets are counted once, at the finest; fewer of them are sums."""


class HashedNgrams(Encoder):
    """Sublinear counts, weighted by rarity, of length √(width) in all: about one a bucket."""

    name = "hashed-ngrams"
    accepts = "text"
    frozen = True  # nothing to train

    def __init__(
        self, fitted: Fitted, *, width: Annotated[int, Choice(512, 1024, 2048)] = 1024
    ) -> None:
        super().__init__(fitted)
        self.out_dim = width
        rarity = torch.tensor(fitted["rarity"])
        self.register_buffer("rarity", rarity, persistent=False)
        self.rarity: Tensor

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """How rare each bucket is: the logarithm of one over its share of the training texts."""
        counts = hashed(training_texts(train))
        found = (counts != 0).sum(0)
        rarity = ((1 + len(counts)) / (1 + found)).log() + 1
        fitted: dict[str, Any] = {"rarity": rarity.tolist()}
        return fitted

    def prepare(self, values: Values) -> Tensor:
        return hashed(strings(values))

    def forward(self, inputs: Tensor) -> Encoded:
        counts = inputs.float()
        weights = counts.sign() * counts.abs().log1p() * self.rarity  # (texts, buckets)
        folded = weights.unflatten(1, (-1, self.out_dim)).sum(1)
        length = (folded.square().sum(1, keepdim=True) + 1e-6).sqrt()
        return Encoded.vector(folded / length * self.out_dim**0.5)


def hashed(texts: list[str] | tuple[str, ...]) -> Tensor:
    """(texts, 2048) int16 signed counts: words and pairs, and letters, in turn."""
    from sklearn.feature_extraction.text import HashingVectorizer

    counts = torch.zeros(len(texts), MOST, dtype=torch.int16)
    if not len(texts):
        return counts
    words = {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"\w+"}
    letters = {"analyzer": "char_wb", "ngram_range": (3, 5)}
    for place, how in enumerate((words, letters)):
        hasher = HashingVectorizer(n_features=MOST // 2, norm=None, **how)
        counts[:, place::2] = torch.from_numpy(hasher.transform(texts).toarray()).to(torch.int16)
    return counts


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [HashedNgrams]
