"""Words for the text encoders: a vocabulary from the training column, padded ids."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.contracts import Encoder, Fitted
from mmbench.encoders._training_column import used_values
from mmbench.types import Column, Values
from mmbench.words import words

PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2
FEWEST = 2
"""Texts that a term is in, where there are such terms."""
VOCABULARY_LIMIT = 20_000


def vocabulary(texts: Iterable[str]) -> list[str]:
    """The words of ``texts``, the most frequent first, equally frequent ones by the alphabet."""
    counts = Counter(word for text in texts for word in words(text))
    return sorted(counts, key=lambda word: (-counts[word], word))[:VOCABULARY_LIMIT]


def word_ids(texts: Sequence[str], known: Mapping[str, int], limit: int) -> Tensor:
    """(texts, time) int64, padded to the longest text; an empty text is one unknown word."""
    ids = [
        [known.get(word, UNKNOWN) for word in words(text)[:limit]] or [UNKNOWN] for text in texts
    ]
    return padded(ids, PADDING)


def terms(text: str) -> list[str]:
    """Lower-cased words, and each two that follow one another."""
    found = [word for word in words(text) if word[0].isalnum()]
    return found + [f"{first} {second}" for first, second in pairwise(found)]


def padded(ids: Sequence[Sequence[int]], filler: int) -> Tensor:
    """(texts, time) int64: ``filler`` follows each text up to the length of the longest."""
    rows = torch.full((len(ids), max(map(len, ids), default=1)), filler)
    for row, text_ids in enumerate(ids):
        rows[row, : len(text_ids)] = torch.tensor(text_ids)
    return rows


def word_embedding(fitted: Mapping[str, Any], width: int) -> nn.Embedding:
    """Vectors that are zero for padding and, as none is ever trained, for the unknown word."""
    embedding = nn.Embedding(len(fitted["vocabulary"]) + FIRST_WORD, width, padding_idx=PADDING)
    with torch.no_grad():
        embedding.weight[UNKNOWN] = 0.0
    return embedding


class TextEncoder(Encoder):
    """Reads (texts, time) word ids; values are strings until ``prepare``."""

    accepts = "text"
    unknown_id = UNKNOWN

    def __init__(self, fitted: Fitted, max_words: int) -> None:
        super().__init__(fitted)
        self.known = {word: i for i, word in enumerate(fitted["vocabulary"], start=FIRST_WORD)}
        self.max_words = max_words

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """The vocabulary of the strings that training rows refer to."""
        return {"vocabulary": vocabulary(training_texts(train))}

    def prepare(self, values: Values) -> Tensor:
        return word_ids(strings(values), self.known, self.max_words)


def strings(values: Values) -> tuple[str, ...]:
    """The texts of a column."""
    if not isinstance(values, tuple):
        raise TypeError(f"A text encoder takes a tuple of strings, not {type(values).__name__}.")
    return values


def training_texts(train: Column) -> list[str]:
    """The texts that training rows refer to."""
    texts = strings(train.values)
    return [texts[i] for i in used_values(train).tolist()]
