"""Columns of strings that many rows share."""

import torch

from mmbench.types import Column


def shared_texts(texts: list[str]) -> Column:
    """A column of unique strings, in alphabetical order."""
    unique = sorted(set(texts))
    place = {text: i for i, text in enumerate(unique)}
    return Column(tuple(unique), torch.tensor([place[text] for text in texts]))
