"""Which numbers of an input an answer rests on: integrated gradients, by Captum.

Sundararajan, Taly & Yan, "Axiomatic Attribution for Deep Networks", ICML 2017: the gradient along
the straight line from a baseline to the input, times their difference. Completeness: values add up
to the log-odds of the answer on the input less those on the baseline. The baseline is the average
input: the mean of the validation rows that are kept with a model. An empty cell (NaN) stays empty,
and has no part.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mmbench.contracts import Encoder
from mmbench.explain.subject import Subject, in_units, log_odds
from mmbench.types import MISSING, Column, Encoded, Split

STEPS = 128
BATCH = 32
BYTES = 255.0


@dataclass(frozen=True, slots=True)
class Integrated:
    """What each number of each modality adds to the log-odds of the answer."""

    values: Mapping[str, Tensor]
    """By modality, of the shape of one value."""
    on_input: float
    on_baseline: float

    @property
    def gap(self) -> float:
        """How far the sum of all values is from completeness: the error of the integral."""
        return self.on_input - self.on_baseline - sum(float(v.sum()) for v in self.values.values())


def integrated_gradients(subject: Subject) -> Integrated | None:
    """Of all modalities of numbers together; None if there is none that gradients pass through."""
    from captum.attr import IntegratedGradients

    ends = {m: pair for m in subject.encoders if (pair := _ends(subject, m)) is not None}
    if not ends:
        return None

    def answer(*values: Tensor) -> Tensor:
        batch = subject.ready.rows(torch.zeros(len(values[0]), dtype=torch.long))
        for modality, value in zip(ends, values, strict=True):
            batch = batch.with_column(modality, Column(value))
        scores = in_units(subject.saved, subject.saved.model(batch).scores)
        return log_odds(scores, subject.output, subject.kind)

    inputs, baselines = (tuple(pair[i] for pair in ends.values()) for i in (0, 1))
    with torch.backends.cudnn.flags(enabled=False):  # RNNs have no gradient in evaluation mode
        found = IntegratedGradients(answer).attribute(
            inputs, baselines, n_steps=STEPS, internal_batch_size=BATCH
        )
    with torch.no_grad():
        on_input, on_baseline = float(answer(*inputs)), float(answer(*baselines))
    values = {m: v[0].nan_to_num().float().cpu() for m, v in zip(ends, found, strict=True)}
    return Integrated(values, on_input, on_baseline)


def _ends(subject: Subject, modality: str) -> tuple[Tensor, Tensor] | None:
    """(1, …) the input and its baseline, in floating point; None where there are no gradients."""
    encoder = subject.encoders[modality]
    values = _tensor(subject.ready, modality)
    if subject.resolved.task.modalities[modality] == "text" or values is None or not len(values):
        return None
    scale = _scale(encoder, values)
    if scale is None or not _differentiable(encoder, values / scale):
        return None
    kept = _tensor(subject.saved.requests, modality)
    inputs = values / scale
    average = torch.zeros_like(inputs) if kept is None else kept.to(inputs) / scale
    baseline: Tensor = average.nanmean(0, keepdim=True).nan_to_num()
    return inputs, baseline.masked_fill(inputs.isnan(), torch.nan)


def _tensor(split: Split, modality: str) -> Tensor | None:
    """(rows, …) the values that the rows of a split have, as far as they have one."""
    column = split.columns[modality]
    if not isinstance(column.values, Tensor):
        return None
    index = column.value_of_row
    return column.values[index[index != MISSING].to(column.values.device)]


@torch.no_grad()
def _scale(encoder: Encoder, values: Tensor) -> float | None:
    """What to divide by so that floating point means the same to an encoder; None if nothing does.

    Whole numbers have no gradient. An encoder may read bytes as numbers up to 255, or up to 1.
    """
    if values.is_floating_point():
        return 1.0
    wanted = encoder(values)
    return next((s for s in (1.0, BYTES) if _same(encoder(values / s), wanted)), None)


def _same(found: Encoded, wanted: Encoded) -> bool:
    return found.tokens.shape == wanted.tokens.shape and torch.allclose(
        found.tokens, wanted.tokens, rtol=1e-3, atol=1e-4
    )


def _differentiable(encoder: Encoder, inputs: Tensor) -> bool:
    encoded = encoder(inputs.detach().requires_grad_())
    return bool(encoded.pooled.requires_grad or encoded.tokens.requires_grad)
