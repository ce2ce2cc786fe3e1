"""How requests are drawn and timed. What is timed lives in ``latency``.

A request is a batch of rows as host tensors. Its time runs from there until its scores are on the
device and the device is idle. Tokenising text and decoding files are not included.
"""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from statistics import median
from typing import TypeVar

import torch
from torch import Tensor

from mmbench.model import FusionModel
from mmbench.seeds import stream
from mmbench.types import Split

T = TypeVar("T")

MOST_DISTINCT = 64
WINDOW = 10
STABLE_WITHIN = 0.05
P99_FROM = 500
"""Below this many requests the 99th percentile is a few outliers."""


@dataclass(frozen=True, slots=True)
class Request:
    rows: Tensor  # (batch,) which rows of the requests were drawn
    batch: Split


@dataclass(frozen=True, slots=True)
class Pace:
    """When to stop repeating: a slow model is asked less often, but never less than ``least``."""

    least: int
    enough: int
    most: int
    budget_s: float
    """Once there are ``enough``, go on until this much time has passed."""
    cap_s: float
    """Once there are ``least``, stop when this much time has passed."""

    def __iter__(self) -> Iterator[int]:
        start = time.perf_counter()
        for done in count():
            elapsed = time.perf_counter() - start
            if done >= self.most or (done >= self.enough and elapsed > self.budget_s):
                return
            if done >= self.least and elapsed > self.cap_s:
                return
            yield done


def draw_requests(model: FusionModel, requests: Split, size: int) -> list[Request]:
    """Different requests of ``size`` rows, to be asked in turn; rows recur if there are few.

    Rows are shuffled, so that neighbours that share an image are not asked one after another.
    """
    if not len(requests):
        raise ValueError("There are no requests to ask of the model.")
    if encoded := [m for m in model.encoders if requests.columns[m].is_encoded]:
        raise ValueError(f"Latency includes the encoders; requests for {encoded} are encoded.")
    generator, n = stream(0, "requests"), len(requests)
    needed = size * max(2, min(MOST_DISTINCT, n // size))
    shuffles = [torch.randperm(n, generator=generator) for _ in range(-(-needed // n))]
    return [Request(rows, requests.rows(rows)) for rows in torch.cat(shuffles)[:needed].split(size)]


def ask(model: FusionModel, batch: Split, device: torch.device) -> Tensor:
    """One whole request: to the device, through the model, the scores still on the device."""
    scores: Tensor = model(batch.to(device)).scores
    return scores


def synchronise(device: torch.device) -> None:
    """Wait until the device has done everything asked of it."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def timed(step: Callable[[], T], device: torch.device) -> tuple[float, T]:
    """Milliseconds that ``step`` took on an idle device, and what it returned."""
    synchronise(device)
    start = time.perf_counter_ns()
    result = step()
    synchronise(device)
    return (time.perf_counter_ns() - start) / 1e6, result


@contextmanager
def undisturbed(model: FusionModel) -> Iterator[None]:
    """Evaluation mode, no gradients, and no garbage collection in the middle of a request."""
    was_training, collecting = model.training, gc.isenabled()
    model.eval()
    gc.collect()
    gc.disable()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)
        if collecting:
            gc.enable()


def warm_up(step: Callable[[int], object], device: torch.device, cap_s: float = 1.0) -> bool:
    """Repeat until the medians of two successive windows agree; whether they did in time.

    A slow step gets its two windows all the same: fewer could not show that it is steady.
    """
    times: list[float] = []
    for i in Pace(least=2 * WINDOW, enough=10_000, most=10_000, budget_s=cap_s, cap_s=cap_s):
        times.append(timed(lambda: step(i), device)[0])  # noqa: B023 - called at once
        before, last = times[-2 * WINDOW : -WINDOW], times[-WINDOW:]
        full = len(before) == WINDOW and len(times) % WINDOW == 0
        if full and abs(median(last) / median(before) - 1) < STABLE_WITHIN:
            return True
    return False


def percentiles(times_ms: Sequence[float]) -> dict[str, float]:
    """``ms_p50``, ``ms_p90``, ``ms_p95``, with ``ms_p99`` from 500 requests, and how many."""
    levels = (50, 90, 95, 99) if len(times_ms) >= P99_FROM else (50, 90, 95)
    values = torch.tensor(times_ms, dtype=torch.float64)
    cuts = values.quantile(torch.tensor(levels, dtype=torch.float64) / 100).tolist()
    figures = {f"ms_p{p}": round(cut, 4) for p, cut in zip(levels, cuts, strict=True)}
    return {**figures, "requests": len(times_ms)}
