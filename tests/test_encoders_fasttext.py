"""fastText by hand: the vectors of a text's words and pairs, and which terms have one."""

import pytest
import torch

from mmbench.encoders.fasttext import FastText
from mmbench.testing import encoder_contract
from mmbench.types import MISSING, Column, Encoded

TEXTS = (
    "A red apple, a green apple",
    "a green pear and a RED pear",
    "the green sea",
    "an apple by the sea",
    "the red apple and the pear",
)


def reference(encoder: FastText, places: torch.Tensor) -> Encoded:
    """Text by text, term by term."""
    rows = []
    for row in places.tolist():
        vectors = [encoder.embed.weight[place] for place in row if place]
        total = sum(vectors, torch.zeros(encoder.out_dim))
        rows.append(total / max(1, len(vectors)) ** 0.5)
    return Encoded.vector(torch.stack(rows))


TestFastText = encoder_contract(FastText, Column(TEXTS), reference=reference)


def test_terms_of_two_texts_the_frequent_first_and_equal_ones_by_the_alphabet():
    assert FastText.fit(Column(TEXTS))["terms"] == [
        *("apple", "green", "red", "the"),  # three texts each
        *("a", "a green", "a red", "and", "pear", "red apple", "sea"),
    ]
    assert FastText.fit(Column(("one two", "three")))["terms"] == ["one", "one two", "three", "two"]


def test_texts_that_no_training_row_has_give_no_terms():
    train = Column(("red sea", "red sea", "green pear"), index=torch.tensor([0, 1, 0, MISSING]))
    assert FastText.fit(train)["terms"] == ["red", "red sea", "sea"]


def test_a_pair_has_a_vector_of_its_own():
    encoder = FastText(FastText.fit(Column(TEXTS)))
    one, other = encoder(encoder.prepare(("red apple", "apple red"))).pooled
    assert not torch.allclose(one, other)


def test_unknown_terms_are_left_out_and_an_unknown_text_is_zeros():
    encoder = FastText(FastText.fit(Column(TEXTS)))
    with_it, without, nothing = encoder(encoder.prepare(("sea zyx", "sea", "zyx wvu"))).pooled
    assert torch.equal(with_it, without)
    assert not nothing.any()


@pytest.mark.parametrize("width", [16, 256])
def test_vectors_begin_as_small_as_in_the_paper(width):
    weights = FastText(FastText.fit(Column(TEXTS)), width=width).embed.weight[1:]
    assert weights.abs().max() <= 1 / width
    assert weights.abs().max() > 0.8 / width


def test_long_texts_are_cut():
    encoder = FastText(FastText.fit(Column(TEXTS)), max_terms=3)
    assert encoder.prepare(("apple " * 10, "sea")).shape == (2, 3)
