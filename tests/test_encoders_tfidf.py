"""TF-IDF against scikit-learn, and which terms it chooses."""

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from mmbench.encoders.tfidf import TfIdf, said
from mmbench.testing import encoder_contract
from mmbench.types import MISSING, Column, Encoded

TEXTS = (
    "A red apple, a green apple",
    "a green pear and a RED pear",
    "the green sea",
    "an apple by the sea",
    "the red apple and the pear",
)
TARGET = torch.tensor([0.9, -0.4, -1.0, 0.3, 0.8])


def scikit() -> TfidfVectorizer:
    return TfidfVectorizer(
        sublinear_tf=True, token_pattern=r"\w+", ngram_range=(1, 2), min_df=2
    ).fit(TEXTS)


def reference(encoder: TfIdf, counts: torch.Tensor) -> Encoded:
    """From counts of all terms, in its own order of terms: text by text, term by term."""
    rarity = dict(zip(scikit().get_feature_names_out(), scikit().idf_, strict=True))
    rows = []
    for row in counts:
        weights = [
            (1 + np.log(count)) * rarity[term] if count else 0.0
            for term, count in zip(encoder.places, row.tolist(), strict=True)
        ]
        length = np.linalg.norm(weights)
        rows.append([8 * w / length if length else 0.0 for w in weights])
    return Encoded.vector(torch.tensor(rows))


TestTfIdf = encoder_contract(TfIdf, Column(TEXTS), reference=reference)


def test_vectors_are_those_of_scikit_learn():
    encoder = TfIdf(TfIdf.fit_to_target(Column(TEXTS), TARGET, "regression"))
    places = [list(scikit().get_feature_names_out()).index(term) for term in encoder.places]
    unseen = ("the apple and the unheard-of red pear", "nothing known")
    for texts in (TEXTS, unseen):
        expected = 8 * torch.from_numpy(scikit().transform(texts).toarray()[:, places]).float()
        found = encoder(encoder.prepare(texts)).pooled
        assert torch.allclose(found, expected, atol=1e-4)
    assert sorted(places) == list(range(len(scikit().idf_)))


def test_terms_that_covary_most_with_the_target_come_first():
    weights = scikit().transform(TEXTS).toarray()
    covariance = np.abs(weights.T @ (TARGET - TARGET.mean()).numpy())
    expected = scikit().get_feature_names_out()[np.argsort(-covariance)]
    fitted = TfIdf.fit_to_target(Column(TEXTS), TARGET, "regression")
    assert fitted["terms"] == expected.tolist()
    assert fitted["terms"] != TfIdf.fit(Column(TEXTS))["terms"]


def test_rows_that_share_a_text_speak_for_it_together():
    shared = Column(("a", "no row has it", "c"), torch.tensor([0, 0, 2, MISSING]))
    assert said(shared, torch.tensor([1, 1, 0, 1]), "classification").tolist() == [
        [-0.5, 0.5],
        [0.75, -0.75],
    ]
    labels = torch.tensor([[0, 1], [0, 1], [0, 0], [0, 1]])
    assert said(shared, labels, "multilabel").tolist() == [[0, 0.5], [0, -0.75]]
    together = said(shared, torch.tensor([3.0, 1.0, 2.0, 2.0]), "regression")
    assert together.tolist() == [[0.0], [0.0]]


def test_a_retrieval_task_has_terms_by_their_frequency():
    pairs = torch.arange(10).reshape(5, 2)
    assert TfIdf.fit_to_target(Column(TEXTS), pairs, "retrieval") == TfIdf.fit(Column(TEXTS))


@pytest.mark.parametrize("texts", [("", ""), ("?", "!"), ()])
def test_texts_without_a_word_are_zeros(texts):
    encoder = TfIdf(TfIdf.fit(Column(texts)))
    assert torch.equal(encoder(encoder.prepare(("", "word"))).pooled, torch.zeros(2, 1))
