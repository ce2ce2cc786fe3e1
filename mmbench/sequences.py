"""Answers that are sequences of tokens, such as a caption: how they are laid out, where they end.

A target is (rows, length) int64 tokens. Scores are (rows, length × tokens there are): the logits of
every token at the first place, at the second one, and so on. So any head says them, all places at
once (a parallel decoder: Gu, Bradbury, Xiong, Li & Socher, "Non-Autoregressive Neural Machine
Translation", ICLR 2018); a ``Decoder`` says one place after the other.
"""

import torch
from torch import Tensor

END = 0
"""The token that ends a sequence, first of the task's outputs: what follows it is no matter."""


def by_place(scores: Tensor, length: int) -> Tensor:
    """(rows, length, tokens) of scores (rows, length × tokens)."""
    return scores.reshape(*scores.shape[:-1], length, -1)


def said(scores: Tensor, length: int) -> Tensor:
    """(rows, length) the likeliest token at each place."""
    return by_place(scores, length).argmax(-1)


def counted(tokens: Tensor) -> Tensor:
    """(rows, length) True up to the first end, which counts itself."""
    ends = (tokens == END).long()
    return ends.cumsum(-1) == ends


def commonest_tokens(target: Tensor, tokens: int) -> Tensor:
    """(length × tokens,) the logarithm of how often each token stands at each place, if it counts.

    Of scores that are the same for every row those of the lowest loss.
    """
    hot = torch.nn.functional.one_hot(target, tokens) * counted(target).unsqueeze(-1)
    return hot.sum(0).float().clamp(min=0.5).log().flatten()


def commonest_sequence(target: Tensor, tokens: int) -> Tensor:
    """(length × tokens,) scores that say what most rows say from their first token to the end."""
    spoken, rows = torch.where(counted(target), target, END).unique(dim=0, return_counts=True)
    return torch.nn.functional.one_hot(spoken[rows.argmax()], tokens).float().flatten()
