"""What a row takes from its cost document, which says more and is free in that."""

import json
from collections.abc import Mapping
from typing import Any

from typing_extensions import TypedDict

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


class _Whole(TypedDict):
    whole: _Latency


class _Batches(TypedDict):
    batch_1: _Whole


class _Cost(TypedDict):
    latency: _Batches
    memory: _Memory
    flops: int | None
    hardware: _Hardware
    device: str
    measured: str


def check_cost(cost: Mapping[str, Any]) -> None:
    """Raise ``InvalidSpec`` for a cost document that a row cannot be assembled from."""
    read_as(_Cost, json.dumps(cost), "cost", others="ignore")
