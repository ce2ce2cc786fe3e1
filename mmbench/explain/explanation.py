"""The whole explanation of one sample: what was said, which modality made it so, which parts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from mmbench.evaluation.contribution.missing import only
from mmbench.evaluation.contribution.shapley import Subset, shapley
from mmbench.explain.gradients import Integrated, integrated_gradients
from mmbench.explain.parts import Explained, in_parts
from mmbench.explain.subject import Subject, in_units, log_probability
from mmbench.explain.words import by_word, text_of
from mmbench.tables.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Explanation:
    """Positive values speak for the answer.

    Modalities share the log-probability of the answer, their parts its log-odds; for regression
    both are the number itself.
    """

    subject: Subject
    answer: float
    """Log-probability of the answer, on the whole sample."""
    without: float
    """The same with every modality missing."""
    shapley: Mapping[str, float]
    """By modality; they sum to ``answer`` less ``without``."""
    modalities: Mapping[str, Explained]
    """Those that can be taken apart."""
    integrated: Integrated | None

    @property
    def output(self) -> str:
        return self.subject.names[self.subject.output]

    @property
    def quantity(self) -> str:
        """What the modalities share."""
        return self._of_output("log-probability")

    def measure(self, explained: Explained) -> str:
        """What the parts of a modality share, and how that was found."""
        return f"{self._of_output('log-odds')}, by {explained.method}"

    def _of_output(self, unit: str) -> str:
        return self.output if self.subject.kind == "regression" else f"{unit} of {self.output}"

    @property
    def predicted(self) -> str:
        return _said(self.subject.scores, self.subject)

    @property
    def truth(self) -> str:
        return _true(self.subject.raw.target[0], self.subject)

    @property
    def probability(self) -> float | None:
        return None if self.subject.kind == "regression" else math.exp(self.answer)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; an image in cells."""
        spec = self.subject.resolved.spec
        return {
            "task": spec.task.name,
            "model": spec.id,
            "sample": self.subject.row,
            "predicted": self.predicted,
            "truth": self.truth,
            "probability": self.probability,
            "output": self.output,
            "answer": self.answer,
            "no_modality": self.without,
            "shapley": dict(self.shapley),
            "texts": {
                m: text_of(self.subject, m) for m, e in self.modalities.items() if e.kind == "text"
            },
            "parts": {
                m: {
                    "method": e.method,
                    "parts": [{"label": p.label, "value": p.value} for p in e.parts],
                }
                for m, e in self.modalities.items()
            },
            "completeness_gap": None if self.integrated is None else self.integrated.gap,
        }


def explain(subject: Subject) -> Explanation:
    """Shapley values of the modalities; words by leaving out, numbers by integrated gradients."""
    with torch.no_grad():
        features = subject.saved.model.encode(subject.ready)

    @cache
    def game(present: Subset) -> float:
        scores = subject.scores_of(only(features, present))
        return float(log_probability(scores, subject.output, subject.kind))

    modalities = tuple(subject.encoders)
    integrated = integrated_gradients(subject)
    values = {} if integrated is None else integrated.values
    kinds = subject.resolved.task.modalities
    fields = _fields(subject)
    parts = {m: in_parts(kinds[m], v, fields.get(m, ())) for m, v in values.items()}
    parts |= {m: by_word(subject, m) for m in modalities if kinds[m] == "text" and _has(subject, m)}
    return Explanation(
        subject,
        game(modalities),
        game(()),
        shapley(modalities, game),
        {m: parts[m] for m in modalities if m in parts},
        integrated,
    )


def _fields(subject: Subject) -> dict[str, list[str]]:
    """By modality of a table of one's own: the column of each entry."""
    made = subject.saved.preprocessing
    if made is None:
        return {}
    return {m: of.entries for m, of in Recipe.from_dict(made["recipe"]).tables.items()}


def _has(subject: Subject, modality: str) -> bool:
    return bool(subject.raw.columns[modality].present[0])


def _said(scores: Tensor, subject: Subject) -> str:
    if subject.kind == "classification":
        return subject.names[int(scores.argmax())]
    if subject.kind == "multilabel":
        return _labels(scores > 0, subject)
    return _numbers(scores)


def _true(target: Tensor, subject: Subject) -> str:
    if subject.kind == "classification":
        return subject.names[int(target)]
    if subject.kind == "multilabel":
        return _labels(target > 0, subject)
    return _numbers(in_units(subject.saved, target).reshape(-1))


def _numbers(values: Tensor) -> str:
    return ", ".join(f"{value:.6g}" for value in values.tolist())


def _labels(on: Tensor, subject: Subject) -> str:
    chosen = [name for name, yes in zip(subject.names, on.tolist(), strict=True) if yes]
    return ", ".join(chosen) or "none"
