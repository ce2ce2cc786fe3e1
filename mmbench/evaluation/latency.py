"""How long a model takes to answer, as a whole and by stage, with its encoders live.

A model is asked different requests in turn, so that nothing it remembers helps it. What it answers
while it is timed is compared with what it answers untimed, and that with what it answered when it
was saved.
"""

import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor

from mmbench.errors import MMBenchError
from mmbench.evaluation.timing import (
    Pace,
    Request,
    ask,
    draw_requests,
    percentiles,
    synchronise,
    timed,
    undisturbed,
    warm_up,
)
from mmbench.model import FusionModel
from mmbench.types import Split

INCLUDES = (
    "host tensors to the device, encoders, fusion and head, until the scores are on the device; "
    "not tokenising text or decoding files"
)
LEAST_REQUESTS = 20
THROUGHPUT_BATCH = 256
REFERENCE_BATCH = 32
REPEATS = 50
TOLERANCE = 5e-3
"""Largest difference of scores, relative to the largest score: batches round differently."""


class OutputsDiffer(MMBenchError):
    """A model answers differently while it is timed: its latency is not that of its scores."""


def measure_latency(
    model: FusionModel,
    requests: Split,
    device: torch.device,
    *,
    batch_sizes: Sequence[int] = (1, 32),
    min_requests: int = 100,
    expected: Tensor | None = None,
) -> dict[str, Any]:
    """Milliseconds per request at each batch size, rows per second offline, and what was checked.

    ``batch_N`` holds ``whole`` and, timed in a separate pass with a pause between stages,
    ``transfer``, ``encoders``, ``fusion`` and ``head``, each with percentiles and the number of
    requests. Fewer than ``min_requests`` are asked only of a slow model. ``repeat_ratio`` is the
    time of a request asked for the second time over that of its first time: near 1 unless the
    model caches (None if there is only one request). ``expected`` (rows, n_outputs) are the right
    scores of the first requests: those of the model when it was saved.
    """
    with undisturbed(model):
        document: dict[str, Any] = {"repeat_ratio": _repeat_ratio(model, requests, device)}
        reference = _untimed_scores(model, requests, device)
        if expected is not None:
            _check_saved(reference, expected)
        for size in batch_sizes:
            drawn = draw_requests(model, requests, size)
            document[f"batch_{size}"] = _at_batch(model, drawn, device, reference, min_requests)
        document |= _throughput(model, requests, device, reference)
    return {**document, "dtype": _dtype(model), "includes": INCLUDES}


def quick_latency_ms(model: FusionModel, requests: Split, device: torch.device) -> float:
    """A rough median at batch 1 in under 0.3 s, to drop what is far too slow before training it."""
    drawn = draw_requests(model, requests.rows(torch.arange(min(8, len(requests)))), 1)
    pace = Pace(least=3, enough=30, most=30, budget_s=0.0, cap_s=0.15)
    with undisturbed(model):
        for _ in Pace(least=1, enough=3, most=3, budget_s=0.0, cap_s=0.05):
            timed(lambda: ask(model, drawn[0].batch, device), device)
        return median(_time_whole(model, drawn, device, pace)[0])


def _at_batch(
    model: FusionModel,
    drawn: list[Request],
    device: torch.device,
    reference: Tensor,
    min_requests: int,
) -> dict[str, Any]:
    """One batch size: warm up, time whole requests, check the answers, then time the stages."""
    stable = warm_up(lambda i: ask(model, drawn[i % len(drawn)].batch, device), device)
    least = min(LEAST_REQUESTS, min_requests)
    whole_pace = Pace(least, min_requests, max(500, min_requests), budget_s=0.5, cap_s=3.0)
    stage_pace = Pace(least, min_requests, max(500, min_requests), budget_s=0.3, cap_s=1.5)
    whole, scores = _time_whole(model, drawn, device, whole_pace)
    _check_answers(drawn, scores, reference)
    stages = _time_stages(model, drawn, device, stage_pace)
    figures = {"whole": whole, **stages}
    return {**{k: percentiles(v) for k, v in figures.items()}, "warm_up_stable": stable}


def _time_whole(
    model: FusionModel, drawn: list[Request], device: torch.device, pace: Pace
) -> tuple[list[float], list[Tensor]]:
    """Milliseconds and scores of each request, asked in turn."""
    times, scores = [], []
    for i in pace:
        batch = drawn[i % len(drawn)].batch
        ms, answer = timed(lambda: ask(model, batch, device), device)  # noqa: B023 - called at once
        times.append(ms)
        scores.append(answer)
    return times, scores


def _time_stages(
    model: FusionModel, drawn: list[Request], device: torch.device, pace: Pace
) -> dict[str, list[float]]:
    """Milliseconds of each stage; the pauses between stages are why this is a pass of its own."""
    times: dict[str, list[float]] = {"transfer": [], "encoders": [], "fusion": [], "head": []}
    for i in pace:
        for stage, ms in _stages(model, drawn[i % len(drawn)].batch, device).items():
            times[stage].append(ms)
    return times


def _stages(model: FusionModel, batch: Split, device: torch.device) -> dict[str, float]:
    """The model's own forward, taken apart. Heads of single modalities count as fusion."""
    transfer, moved = timed(lambda: batch.to(device), device)
    encoders, features = timed(lambda: model.encode(moved), device)
    fusion, fused = timed(lambda: model.fuse(features, model.decide_alone(features)), device)
    head, _ = timed(lambda: model.decide(fused.vector), device)
    return {"transfer": transfer, "encoders": encoders, "fusion": fusion, "head": head}


def _repeat_ratio(model: FusionModel, requests: Split, device: torch.device) -> float | None:
    """Time of the second over the first asking of requests that were never asked before."""
    warm, *fresh = draw_requests(model, requests, 1)
    if len(requests) < 2:
        return None
    warm_up(lambda _: ask(model, warm.batch, device), device)
    first, second = [], []
    for i in Pace(least=min(3, len(fresh)), enough=REPEATS, most=len(fresh), budget_s=0, cap_s=1):
        batch = fresh[i].batch
        first.append(timed(lambda: ask(model, batch, device), device)[0])  # noqa: B023
        second.append(timed(lambda: ask(model, batch, device), device)[0])  # noqa: B023
    return round(median(second) / median(first), 4)


def _untimed_scores(model: FusionModel, requests: Split, device: torch.device) -> Tensor:
    """(rows, n_outputs) in the requests' own order, in other batches than the timed ones."""
    return torch.cat([ask(model, b, device).cpu() for b in requests.batches(REFERENCE_BATCH)])


def _check_answers(drawn: list[Request], scores: list[Tensor], reference: Tensor) -> None:
    allowed = TOLERANCE * max(1.0, float(reference.nan_to_num(0, 0, 0).abs().max()))
    for i, answer in enumerate(scores):
        expected = reference[drawn[i % len(drawn)].rows]
        if not torch.allclose(answer.cpu(), expected, rtol=0, atol=allowed, equal_nan=True):
            gap = float((answer.cpu() - expected).abs().max())
            raise OutputsDiffer(
                f"The model answered request {i} differently while it was timed (by {gap:.3g}, "
                f"{allowed:.3g} is allowed): it is random in evaluation mode, keeps state between "
                f"requests, or lets the rows of a batch influence each other."
            )


def _check_saved(reference: Tensor, expected: Tensor) -> None:
    answers = reference[: len(expected)]
    allowed = TOLERANCE * max(1.0, float(expected.nan_to_num(0, 0, 0).abs().max()))
    if not torch.allclose(answers.float(), expected, rtol=0, atol=allowed, equal_nan=True):
        gap = float((answers - expected).abs().max())
        raise OutputsDiffer(
            f"The model to be timed does not answer as it did when it was saved (by {gap:.3g}, "
            f"{allowed:.3g} is allowed): it has state that is not saved with its weights, or gives "
            f"answers that do not depend on what it is asked."
        )


def _throughput(
    model: FusionModel, requests: Split, device: torch.device, reference: Tensor
) -> dict[str, float]:
    """Rows per second with large batches one after another, without a pause between them."""
    size = min(THROUGHPUT_BATCH, len(requests))
    drawn = draw_requests(model, requests, size)
    last = ask(model, drawn[0].batch, device)
    synchronise(device)
    start, asked = time.perf_counter(), 0
    for i in Pace(least=1, enough=2, most=50, budget_s=0.5, cap_s=1.0):
        last = ask(model, drawn[i % len(drawn)].batch, device)
        asked += 1
    synchronise(device)
    rate = asked * size / (time.perf_counter() - start)
    _check_answers([drawn[(asked - 1) % len(drawn)]], [last], reference)
    return {"throughput_rows_per_s": round(rate, 1), "throughput_batch": size}


def _dtype(model: FusionModel) -> str:
    parameter = next(model.parameters(), torch.empty(0))
    return str(parameter.dtype).removeprefix("torch.")
