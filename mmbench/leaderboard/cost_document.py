"""What a row takes from its cost document, which says more and is free in that.

Figures that a flag follows from are part of it: a board marks a disturbed latency by the flag.
"""

import json
from collections.abc import Mapping
from typing import Any

from typing_extensions import TypedDict

from mmbench.evaluation.flags import flags_of
from mmbench.shape import read_as


class _Latency(TypedDict):
    ms_p50: float | None
    ms_p90: float | None
    ms_p95: float | None


class _Peak(TypedDict):
    peak_memory_mib: float | None


class _Memory(TypedDict):
    batch_1: _Peak
    parameters: int
    parameters_fusion: int


class _Gpu(TypedDict):
    name: str


class _Hardware(TypedDict):
    cpu: str
    cores: int
    threads: int
    gpus: list[_Gpu]
    flags: list[str]


class _Batch(TypedDict):
    whole: _Latency
    warm_up_stable: bool


class _Batches(TypedDict):
    batch_1: _Batch
    batch_32: _Batch
    repeat_ratio: float | None


class _Cost(TypedDict):
    latency: _Batches
    memory: _Memory
    flops: int | None
    hardware: _Hardware
    device: str
    measured: str
    threads: int
    others_cores: float
    flags: list[str]


def check_cost(cost: Mapping[str, Any]) -> None:
    """Raise ``InvalidSpec`` for a cost document that a row cannot be assembled from."""
    read_as(_Cost, json.dumps(cost), "cost", others="ignore")


def hidden_flags(cost: Mapping[str, Any]) -> list[str]:
    """What is wrong with the flags of a checked document: its own figures demand more of them."""
    found = dict.fromkeys(flag for flag in flags_of(cost) if flag not in cost["flags"])
    return [f"cost.flags lacks {flag!r}, which follows from its own figures" for flag in found]
