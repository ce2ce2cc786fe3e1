"""Noise of texts: typing errors, words left out, neighbours exchanged.

Typing errors are the four single slips of Damerau ("A technique for computer detection and
correction of spelling errors", CACM 1964); that they upset models which never saw any is shown by
Belinkov & Bisk ("Synthetic and Natural Noise Both Break Neural Machine Translation", ICLR 2018).
Leaving out and exchanging words are known from EDA (Wei & Zou, EMNLP 2019), there as augmentation.

A word is what stands between spaces; every level is the probability of each word, or pair of
neighbours, to be hit.
"""

from collections.abc import Callable, Sequence
from string import ascii_lowercase

import torch

from mmbench.evaluation.robustness.noise import SHARES, Noise

Texts = tuple[str, ...]
Luck = Sequence[Sequence[float]]
"""For each word of a text, numbers drawn evenly from 0 to 1."""


def typos(texts: Texts, share: float, draw: torch.Generator) -> Texts:
    """One slip in each word that is hit; the word always changes and never vanishes."""

    def change(words: list[str], luck: Luck) -> list[str]:
        return [
            misspelt(word, *slip) if hit < share else word
            for word, (hit, *slip) in zip(words, luck, strict=True)
        ]

    return _by_word(texts, change, 4, draw)


def misspelt(word: str, slip: float, place: float, letter: float) -> str:
    """Two letters exchanged, one left out, doubled or replaced; each choice by a number in [0, 1).

    Where that leaves the word as it was, or nothing of it, a letter is doubled instead.
    """
    at = int(place * len(word))
    before, here, after = word[:at], word[at], word[at + 1 :]
    doubled = before + here + here + after
    slips = (
        before + after[:1] + here + after[1:],
        before + after,
        doubled,
        before + ascii_lowercase[int(letter * len(ascii_lowercase))] + after,
    )
    found = slips[int(slip * len(slips))]
    return doubled if found in (word, "") else found


def dropped(texts: Texts, share: float, draw: torch.Generator) -> Texts:
    """The words that are hit are gone; of a short text there may be nothing left."""

    def change(words: list[str], luck: Luck) -> list[str]:
        return [word for word, (hit,) in zip(words, luck, strict=True) if hit >= share]

    return _by_word(texts, change, 1, draw)


def swapped(texts: Texts, share: float, draw: torch.Generator) -> Texts:
    """Words are paired with their neighbours, from the first or the second on; pairs hit turn."""

    def change(words: list[str], luck: Luck) -> list[str]:
        words = list(words)
        first = int(2 * luck[0][1]) if luck else 0
        for i in range(first, len(words) - 1, 2):
            if luck[i][0] < share:
                words[i], words[i + 1] = words[i + 1], words[i]
        return words

    return _by_word(texts, change, 2, draw)


def _by_word(
    texts: Texts,
    change: Callable[[list[str], Luck], list[str]],
    draws: int,
    draw: torch.Generator,
) -> Texts:
    """Each text with its words changed; one in which nothing is hit keeps its spaces too."""
    changed = []
    for text in texts:
        words = text.split()
        found = change(words, torch.rand(len(words), draws, generator=draw).tolist())
        changed.append(text if found == words else " ".join(found))
    return tuple(changed)


TEXT: tuple[Noise[Texts], ...] = (
    Noise("typos", SHARES, "probability of each word", typos),
    Noise("dropped", SHARES, "probability of each word", dropped),
    Noise("swapped", SHARES, "probability of each pair of neighbours", swapped),
)
