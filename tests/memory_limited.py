"""Training on a generated data set that is larger than the memory allowed, in a process of its own.

The limit is the kernel's (``RLIMIT_DATA``): what the process allocates over it fails. Read-only
maps of files do not count, since the kernel takes their pages back when it needs them.
"""

import math
import multiprocessing
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.contracts import Dataset, Encoder
from mmbench.feature_cache import FeatureCache
from mmbench.features import encode_in_batches
from mmbench.plugins import load_plugins
from mmbench.spec import Component, TrainSpec, TrialSpec
from mmbench.trial import Workbench, run_trial
from mmbench.types import Column, Encoded, Part, Split, Task

MIB = 2**20
SIDE = 64
DIM = 192  # times 16 cells of four bytes: features as large as the image


class Pictures:
    """(n, 3, 64, 64) uint8, made when asked for: brightness tells the class."""

    def __init__(self, n: int, first: int) -> None:
        self.n, self.first = n, first

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: Tensor) -> Tensor:
        numbers = (index + self.first).reshape(-1, 1, 1, 1)
        ramp = (torch.arange(3 * SIDE * SIDE) % 16).reshape(1, 3, SIDE, SIDE).to(torch.uint8)
        return ramp * (numbers % 7).to(torch.uint8) + (numbers % 2 * 100).to(torch.uint8)


class Large(Dataset):
    """``mib`` of training images beside one number each."""

    name, version = "large", "1"
    task = Task({"a": "image", "b": "tabular"}, "classification", ("dark", "bright"), "accuracy")

    def __init__(self, *, mib: int = 8) -> None:
        self.n = mib * MIB // (3 * SIDE * SIDE)

    def load(self, part: Part) -> Split:
        first, n = {"train": (0, self.n), "val": (self.n, 256), "test": (self.n + 256, 256)}[part]
        numbers = torch.arange(first, first + n)
        columns = {"a": Column(Pictures(n, first)), "b": Column(numbers.sin().unsqueeze(1))}
        return Split(columns, numbers % 2, source=numbers)


class Cells(Encoder):
    """Frozen: the grid cells of an image, projected at random."""

    name, accepts, frozen, emits_sequences = "cells", "image", True, True
    out_dim = DIM

    def __init__(self, fitted) -> None:
        super().__init__(fitted)
        self.project = nn.Conv2d(3, DIM, SIDE // 4, SIDE // 4).requires_grad_(False)

    @classmethod
    def fit(cls, train: Column):
        return {}

    def forward(self, inputs: Tensor) -> Encoded:
        grid = self.project(inputs.float())
        tokens = grid.flatten(2).transpose(1, 2)
        return Encoded(tokens, torch.ones_like(tokens[..., 0], dtype=torch.bool))


class LiveCells(Cells):
    """The same, trained: images are decoded anew in every epoch."""

    name, frozen = "live-cells", False

    def __init__(self, fitted) -> None:
        super().__init__(fitted)
        self.project.requires_grad_(True)


def used(what: str) -> int:
    """MiB of ``VmData``, ``RssAnon`` … of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) // 1024


def train_within(allowed_mib: int, data_mib: int, folder: Path, encoder: str) -> dict[str, Any]:
    """Train and test with ``allowed_mib`` more than an idle process; then try without streaming."""
    torch.set_num_threads(1)
    plugins = load_plugins()
    plugins.datasets.add(Large, "test")
    plugins.encoders.add(Cells, "test")
    plugins.encoders.add(LiveCells, "test")
    spec = TrialSpec(
        Component("large"),
        {"a": Component(encoder), "b": Component("mlp")},
        Component("product"),
        Component("linear"),
        train=TrainSpec(max_epochs=1),
    )
    bench = Workbench(torch.device("cpu"), FeatureCache(folder))
    run_trial(spec, plugins, bench)  # libraries and their buffers are there from now on
    limit = (used("VmData") + allowed_mib) * MIB
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    start = time.perf_counter()
    large = replace(spec, task=Component("large", {"mib": data_mib}))
    result = run_trial(large, plugins, bench)
    figures = {
        "score": result.trained.fitted.score,
        "seconds": time.perf_counter() - start,
        "anonymous_mib": used("RssAnon"),
        "features_mib": sum(e.nbytes for e in bench.cache.entries()) / MIB,
        "peak_rss_mib": used("VmHWM"),
    }
    try:
        data = bench.load(result.trained.resolved, "train").columns["a"].values
        if encoder == "cells":
            encode_in_batches(Cells({}), data)
        else:
            torch.cat([data[rows] for rows in torch.arange(len(data)).split(256)])
    except (RuntimeError, MemoryError) as error:
        figures["without"] = str(error)
    return figures


def in_own_process(*arguments: Any) -> dict[str, Any]:
    """``train_within`` in a child of a server that has imported everything once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["memory_limited"])
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_report, args=(send, arguments))
    child.start()
    send.close()
    try:
        found = receive.recv()
    finally:
        child.join()
    assert math.isfinite(found["seconds"])
    return found


def _report(send: Any, arguments: tuple[Any, ...]) -> None:
    send.send(train_within(*arguments))
