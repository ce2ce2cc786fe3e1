"""A saved model that answers: raw values in, as a user has them, predictions out.

from mmbench import load_model
load_model("model/").predict({"image": "cat.jpg", "question": "what animal is it"})
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from mmbench.errors import InvalidParameter, did_you_mean
from mmbench.evaluation.timing import percentiles
from mmbench.features import prepare
from mmbench.plugins import load_plugins
from mmbench.predicting.prediction import (
    EMPTY,
    OnBeyond,
    Prediction,
    prediction,
    refuse_beyond,
)
from mmbench.predicting.raw_values import column_like
from mmbench.saved import SavedModel
from mmbench.saved import load_model as load_saved
from mmbench.tables.cells import says_nothing
from mmbench.tables.cleaning import gaps
from mmbench.tables.decoded import of_sequences
from mmbench.tables.findings import Finding
from mmbench.tables.media import Broken
from mmbench.tables.notation import in_plain, plain_numbers
from mmbench.tables.read import read_table
from mmbench.tables.recipe import Recipe
from mmbench.tables.samples import NO_SEQUENCE, OnBroken, refuse
from mmbench.types import Column, Split

BATCH = 256
WARM_UP, TIMED = 10, 100
"""Samples asked before and while they are timed."""

Sample = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of one sample, from raw values to what is said of it."""

    first_ms: float
    """Of the very first, with libraries that are imported when they are needed."""
    stages: Mapping[str, Mapping[str, float]]
    """Percentiles of ``whole``; of ``read``: files decoded, cells to tensors; and of ``model``:
    to the device and through it, which is what a board calls latency."""


class Predictor:
    """A saved model with what it takes to read raw samples; needs its folder alone."""

    def __init__(self, saved: SavedModel) -> None:
        self.saved, self.task = saved, saved.task
        made, read = saved.preprocessing, tuple(saved.model.encoders_by_modality)
        whole = None if made is None else Recipe.from_dict(made["recipe"])
        self.recipe = whole.only(read) if whole is not None and read else whole
        self.inputs = read if self.recipe is None else self.recipe.columns
        """The columns of the table it was trained on, or modalities, that the model reads."""
        self.known = tuple(self.task.modalities) if whole is None else whole.columns
        """What a sample may name: also what this model leaves alone."""
        self.mean: float
        self.std: float
        self.mean, self.std = (0.0, 1.0) if made is None else made["scale"]

    def read_samples(self, path: Path) -> tuple[pd.DataFrame, list[Finding]]:
        """A table of samples, and what was mended.

        Numbers are read in the notation that was learnt with their column; where that is the plain
        one, as the file's own cells tell.
        """
        recipe = self.recipe or Recipe()
        plain = recipe.numbers - set(recipe.notations)
        table, findings = read_table(path, recipe.notations)
        table, _, found = plain_numbers(table, plain.__contains__)
        return table, [*findings, *found]

    @torch.inference_mode()
    def predict(self, sample: Sample, folder: str | Path = ".") -> Prediction:
        """One sample; what it leaves out is missing. Relative paths start at ``folder``.

        What is there and cannot be read raises ``UnusableData``.
        """
        self._check(sample)
        raw = self._raw([sample], Path(folder))
        if self.recipe is not None:
            _refuse_words(sample, self.recipe, raw)
        (found,) = self._of(raw, refuse_beyond)
        if found == EMPTY:
            raise InvalidParameter(
                "The sample has no value that the model reads. Give at least one of: "
                f"{', '.join(self.inputs)}."
            )
        return found

    def predict_all(
        self,
        samples: Sequence[Sample],
        folder: str | Path = ".",
        on_broken: OnBroken = refuse,
        on_beyond: OnBeyond = refuse_beyond,
    ) -> list[Prediction]:
        """Many samples, in batches; ``EMPTY`` for those without a value.

        A file that cannot be read raises ``UnusableData``, unless ``on_broken`` is told of it
        instead: then it is a missing value. So do scores that are not finite, unless ``on_beyond``
        is told: then the sample is ``EMPTY``.
        """
        for sample in samples:
            self._check(sample)
        found: list[Prediction] = []
        for first in range(0, len(samples), BATCH):
            batch = samples[first : first + BATCH]
            found += self._predict_batch(batch, first, Path(folder), on_broken, on_beyond)
        return found

    @torch.inference_mode()
    def _predict_batch(
        self,
        samples: Sequence[Sample],
        first: int,
        folder: Path,
        on_broken: OnBroken,
        on_beyond: OnBeyond,
    ) -> list[Prediction]:
        def told(name: str, row: int, cell: Any, why: Broken) -> None:
            on_broken(name, first + row, cell, why)

        raw = self._raw(samples, folder, told)
        return self._of(raw, lambda row: on_beyond(first + row))

    def _of(self, raw: Split, on_beyond: OnBeyond) -> list[Prediction]:
        there = _filled(raw)
        if not there.any():
            return [EMPTY] * len(raw)
        scores = self._answer(self._ready(raw))
        finite = scores.isfinite().all(1)
        for row in (there & ~finite).nonzero().flatten().tolist():
            on_beyond(row)
        said = there & finite
        return [self._said(own) if has else EMPTY for has, own in zip(said, scores, strict=True)]

    def findings(self, table: pd.DataFrame) -> list[Finding]:
        """What of a table the model takes as missing, or as a category that it does not know."""
        recipe = self.recipe
        if recipe is None:
            return []
        table = in_plain(table, recipe.notations)
        learnt = {
            name: of for fields in recipe.tables.values() for name, of in fields.dates.items()
        }
        found = gaps(table, _by_kind(recipe, table), learnt)
        for column, shape in recipe.sequences.values():
            found += of_sequences(table[column], shape) if column in table else []
        for fields in recipe.tables.values():
            found += fields.findings(table.reindex(columns=list(fields.columns)))
        return found

    @torch.inference_mode()
    def scores(
        self, samples: Sequence[Sample], folder: Path, on_broken: OnBroken = refuse
    ) -> Tensor:
        """(samples, n_outputs) as the model gives them.

        Of retrieval (samples, 2 × width): the embeddings of both sides, to build an index from. A
        side that a sample leaves out has zeros.
        """
        return self._answer(self._ready(self._raw(samples, folder, on_broken)))

    def times(self, samples: Sequence[Sample], folder: str | Path = ".") -> Times:
        """How long single samples take, asked in turn."""
        taken: dict[str, list[float]] = {"whole": [], "read": [], "model": []}
        for number in range(1 + WARM_UP + TIMED):
            sample, start = samples[number % len(samples)], time.perf_counter_ns()
            with torch.inference_mode():
                ready = self._ready(self._raw([sample], Path(folder)))
                between = time.perf_counter_ns()
                scores = self._answer(ready)
            after = time.perf_counter_ns()
            self._said(scores[0])
            taken["whole"].append((time.perf_counter_ns() - start) / 1e6)
            taken["read"].append((between - start) / 1e6)
            taken["model"].append((after - between) / 1e6)
        stages = {stage: percentiles(ms[1 + WARM_UP :]) for stage, ms in taken.items()}
        return Times(taken["whole"][0], stages)

    def _raw(self, samples: Sequence[Sample], folder: Path, on_broken: OnBroken = refuse) -> Split:
        """Decoded, as a data set would load them."""
        return Split(self._columns(samples, folder, on_broken), torch.zeros(len(samples)))

    def _ready(self, raw: Split) -> Split:
        """As the model reads them, where it is."""
        model = self.saved.model
        device = next(model.parameters(), torch.empty(0)).device
        return prepare(raw, model.encoders_by_modality).to(device)

    def _answer(self, ready: Split) -> Tensor:
        scores: Tensor = self.saved.model(ready).scores
        return scores.float().cpu()

    def _check(self, sample: Sample) -> None:
        for name in sample:
            if name not in self.known:
                raise InvalidParameter(
                    f"The model has no input {name!r}.{did_you_mean(name, self.known)} "
                    f"It reads: {', '.join(self.inputs)}."
                )

    def _columns(
        self, samples: Sequence[Sample], folder: Path, on_broken: OnBroken
    ) -> dict[str, Column]:
        if self.recipe is not None:
            frame = pd.DataFrame(
                {name: pd.Series([s.get(name) for s in samples]) for name in self.recipe.columns}
            )
            return self.recipe.apply(frame, folder, on_broken)
        cells = {m: [sample.get(m) for sample in samples] for m in self.inputs}
        trained_on, kinds = self.saved.requests.columns, self.task.modalities
        return {
            m: column_like(trained_on[m].values, m, kinds[m], cells[m], folder, on_broken)
            for m in self.inputs
        }

    def _said(self, scores: Tensor) -> Prediction:
        return prediction(scores, self.task, self.mean, self.std)


def _filled(raw: Split) -> Tensor:
    """(rows,) whether there is a value of any modality."""
    there = torch.zeros(len(raw), dtype=torch.bool)
    for column in raw.columns.values():
        there |= column.present
    return there


def _refuse_words(sample: Sample, recipe: Recipe, read: Split) -> None:
    """``UnusableData`` for a cell that is neither empty nor what it is to be."""
    for modality, fields in recipe.tables.items():
        values = read.columns[modality].values
        assert isinstance(values, Tensor)
        for name, number in zip(fields.entries, values[0].tolist(), strict=True):
            if math.isnan(number) and not says_nothing(cell := sample.get(name)):
                what = "date" if name in fields.dates else "number"
                refuse(name, 0, cell, Broken(f"it is no {what}"))
    for modality, (name, _) in recipe.sequences.items():
        if not read.columns[modality].present.all() and not says_nothing(cell := sample.get(name)):
            refuse(name, 0, cell, Broken(NO_SEQUENCE))


def _by_kind(recipe: Recipe, table: pd.DataFrame) -> dict[str, list[str]]:
    """The columns of a table that a model reads, as what it reads them."""
    read = [("text", column) for columns in recipe.texts.values() for column in columns]
    for fields in recipe.tables.values():
        read += [("number", column) for column in fields.numbers]
        read += [("date", column) for column in fields.dates]
        read += [("category", column) for column in fields.categories]
    for column, shape in (*recipe.files.values(), *recipe.sequences.values()):
        read.append((shape.media, column))
    found: dict[str, list[str]] = {}
    for kind, column in read:
        if column in table:
            found.setdefault(kind, []).append(column)
    return found


def load_model(folder: str | Path, device: str = "cpu") -> Predictor:
    """The model in ``folder``, as ``mmbench export`` or a search left it."""
    return Predictor(load_saved(Path(folder), load_plugins(), torch.device(device)))
