"""Which words an answer rests on, by leaving each out.

Li, Monroe & Jurafsky, "Understanding Neural Networks through Representation Erasure", 2016
(https://arxiv.org/abs/1612.08220). It works for any text encoder: words are taken from the text
before the encoder sees it, so that nothing need be known of its tokens.
"""

import torch

from mmbench.explain.parts import LEAVE_ONE_OUT, Explained, Part
from mmbench.explain.subject import Subject, log_odds
from mmbench.types import Column
from mmbench.words import WORD


@torch.no_grad()
def by_word(subject: Subject, modality: str) -> Explained:
    """The log-odds of the answer less those without each word or punctuation mark."""
    text = text_of(subject, modality)
    found = list(WORD.finditer(text))
    texts = (text, *(text[: w.start()] + text[w.end() :] for w in found))
    values = subject.encoders[modality].prepare(texts)
    rows = subject.ready.rows(torch.zeros(len(texts), dtype=torch.long))
    batch = rows.with_column(modality, Column(values)).to(subject.ready.target.device)
    scores = subject.scores_of(subject.saved.model.encode(batch))
    whole, *without = log_odds(scores, subject.output, subject.kind).tolist()
    parts = [Part(w.group(), whole - value) for w, value in zip(found, without, strict=True)]
    return Explained("text", LEAVE_ONE_OUT, parts, place=[w.start() for w in found])


def text_of(subject: Subject, modality: str) -> str:
    """The sample's own text; empty where it has none."""
    values = subject.raw.columns[modality].values
    return str(values[0]) if isinstance(values, tuple) and values else ""
