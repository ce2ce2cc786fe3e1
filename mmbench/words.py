"""What a word is, for whoever cuts texts: encoders, answers to be said, explanations."""

import re

WORD = re.compile(r"\w+|[^\w\s]")


def words(text: str) -> list[str]:
    """Lower-cased words, and every punctuation mark on its own."""
    return WORD.findall(text.lower())
