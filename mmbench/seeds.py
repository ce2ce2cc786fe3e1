"""One random stream per purpose, so that what one purpose draws never shifts another.

All streams derive from the spec's seed and the purpose alone, never from a component's name:
two fusions trained with one seed see the same batches in the same order.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

Purpose = Literal[
    "data",
    "encoders",
    "fusion",
    "heads",
    "objective",
    "practice",
    "batches",
    "dropout",
    "bootstrap",
    "requests",
    "robustness",
]


def fresh_seeds(n: int, seed: int) -> list[int]:
    """Seeds of a final evaluation, which a search from ``seed`` has not used.

    A rule, so that nobody can show the seeds that happened to do well.
    """
    return [1000 * (seed + 1) + i for i in range(n)]


def derived(seed: int, purpose: Purpose) -> int:
    """A 63-bit seed for one purpose."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def stream(seed: int, purpose: Purpose) -> torch.Generator:
    """A CPU generator of its own for one purpose."""
    return torch.Generator().manual_seed(derived(seed, purpose))


@contextmanager
def global_stream(seed: int, purpose: Purpose) -> Iterator[None]:
    """Let torch's global generators draw from one purpose's stream, and restore them afterwards.

    For code that cannot be handed a generator: module initialisation and dropout.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derived(seed, purpose))
        yield
