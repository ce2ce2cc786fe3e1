"""What each fusion alone costs, beside the best plain formulation of it that we can write.

``pytest tests/benchmarks/test_fusion_cost.py -m slow -s`` prints the table; with
``MMBENCH_FUSION_COST=1`` it is also written to leaderboards/fusion-cost.md.

Times are of the processor, not of the clock on the wall: what others do on the machine interrupts a
run but does not count. The two formulations take turns, a round is the median of its turns, and the
best of three rounds counts, for caches are shared and a busy neighbour slows one or the other.
Nothing is allowed for in µs: what a µs buys differs from one machine, and one hour, to the next.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from plain_fusions import PLAIN, TOKENS
from torch import Tensor

from mmbench.contracts import Fusion
from mmbench.evaluation.hardware import hardware, hardware_line
from mmbench.fusions._projection import pooled
from mmbench.plugins import load_plugins
from mmbench.types import Encoded

BATCH, WIDTH, TIME, OUTPUTS = 256, 128, 8, 10
LIMIT = 2.0
ROUNDS = 3
BUDGET_S = 0.25
"""Of one round."""
WRITE = "MMBENCH_FUSION_COST"
REPORT = Path(__file__).parents[2] / "leaderboards" / "fusion-cost.md"

FUSIONS = {n: cls for n, cls in load_plugins().fusions.items() if cls.offered != "baseline"}
CASES = [
    (name, modalities)
    for name, cls in sorted(FUSIONS.items())
    for modalities in (2, 3)
    if cls.capabilities.min_modalities <= modalities <= (cls.capabilities.max_modalities or 3)
]


def built(name: str, modalities: int, dtype: torch.dtype) -> tuple[Fusion, dict[str, Encoded]]:
    torch.manual_seed(0)
    capabilities = FUSIONS[name].capabilities
    dim = OUTPUTS if capabilities.level == "decision" else WIDTH
    steps = TIME if capabilities.needs_sequences else 1
    features = {}
    for m in "abc"[:modalities]:
        tokens = torch.randn(BATCH, steps, dim, dtype=dtype)
        pooled = tokens.mean(dim=1).requires_grad_()
        mask = torch.ones(BATCH, steps, dtype=torch.bool)
        features[m] = Encoded(tokens.requires_grad_(), mask, pooled)
    return FUSIONS[name](dict.fromkeys(features, dim)).to(dtype), features


def both(
    name: str, modalities: int, dtype: torch.dtype = torch.float32
) -> tuple[Fusion, list[Tensor], list[Callable[[], tuple[Tensor, ...]]]]:
    """A fusion, all that gets a gradient, and calls of ours and of the plain formulation."""
    fusion, features = built(name, modalities, dtype)
    leaves = [p for p in fusion.parameters() if p.requires_grad]
    leaves += [x for e in features.values() for x in (e.tokens, e.pooled)]

    def taken(encoded: Encoded) -> Tensor:
        if name in TOKENS:
            return encoded.tokens
        return pooled(encoded) if fusion.capabilities.handles_missing else encoded.pooled

    def ours() -> tuple[Tensor, ...]:
        fused = fusion(features)
        if isinstance(fused, Tensor):
            return (fused,)
        return (fused.vector,) if fused.penalty is None else (fused.vector, fused.penalty)

    def plain() -> tuple[Tensor, ...]:
        result = PLAIN[name](fusion, [taken(e) for e in features.values()])
        return (result,) if isinstance(result, Tensor) else result

    return fusion, leaves, [ours, plain]


@pytest.mark.parametrize(("name", "modalities"), CASES)
def test_the_plain_formulation_is_the_same_operator(name: str, modalities: int) -> None:
    fusion, _, (ours, plain) = both(name, modalities, torch.float64)
    fusion.eval()
    results = [call() for call in (ours, plain)]
    torch.testing.assert_close(results[1], results[0], rtol=1e-9, atol=1e-9)


def forward(call: Callable[[], tuple[Tensor, ...]]) -> None:
    with torch.no_grad():
        call()


def forward_backward(call: Callable[[], tuple[Tensor, ...]], leaves: list[Tensor]) -> None:
    outputs = call()
    trained = [leaf for leaf in leaves if leaf.requires_grad]
    ones = [torch.ones_like(o) for o in outputs]
    torch.autograd.grad(outputs, trained, ones, allow_unused=True)


def medians(*calls: Callable[[], None]) -> list[float]:
    """µs of each, taking turns: the medians of the round in which the first compares best."""
    return min((_round(*calls) for _ in range(ROUNDS)), key=lambda times: times[0] / times[1])


def _round(*calls: Callable[[], None]) -> list[float]:
    times: list[list[float]] = [[] for _ in calls]
    end = time.process_time() + BUDGET_S
    while time.process_time() < end or len(times[0]) < 7:
        for call, taken in zip(calls, times, strict=True):
            start = time.process_time_ns()
            call()
            taken.append((time.process_time_ns() - start) / 1000)
    return [statistics.median(t) for t in times]


def shown(rows: list[dict[str, object]]) -> str:
    """The table as Markdown, the machine above it."""
    table = pd.DataFrame(rows).round(2)
    lines = [list(table.columns), ["---"] * table.shape[1], *table.to_numpy().tolist()]
    machine = hardware_line(hardware(), torch.device("cpu"))
    return "\n".join(
        [
            "# What each fusion alone costs",
            "",
            f"µs at batch {BATCH} and width {WIDTH} (decision level: {OUTPUTS} outputs; where a "
            f"fusion needs sequences: {TIME} tokens) on one thread of {machine}, torch "
            f"{torch.__version__}. Plain: the same operator written by hand; gaps are zeroed where "
            "the fusion takes missing modalities, and nothing else is kept of masks and reports.",
            "",
            *("| " + " | ".join(map(str, line)) + " |" for line in lines),
            "",
        ]
    )


@pytest.fixture(scope="module")
def table() -> Iterator[list[dict[str, object]]]:
    rows: list[dict[str, object]] = []
    yield rows
    if rows:
        print("\n" + pd.DataFrame(rows).round(2).to_string(index=False))
    if len(rows) == len(CASES) and os.environ.get(WRITE):
        REPORT.write_text(shown(rows))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "modalities"), CASES)
def test_no_fusion_takes_twice_the_plain_time(
    name: str, modalities: int, table: list[dict[str, object]]
) -> None:
    torch.set_num_threads(1)
    fusion, leaves, calls = both(name, modalities)
    fusion.eval()
    ahead, plain_ahead = medians(*(lambda c=c: forward(c) for c in calls))
    fusion.train()
    there_back, plain_there_back = medians(
        *(lambda c=c: forward_backward(c, leaves) for c in calls)
    )
    table.append(
        {
            "fusion": name,
            "modalities": modalities,
            "parameters": sum(p.numel() for p in fusion.parameters() if p.requires_grad),
            "forward": round(ahead),
            "plain forward": round(plain_ahead),
            "forward + backward": round(there_back),
            "plain forward + backward": round(plain_there_back),
            "ratio forward": ahead / plain_ahead,
            "ratio": there_back / plain_there_back,
        }
    )
    assert there_back <= LIMIT * plain_there_back
    assert ahead <= LIMIT * plain_ahead
