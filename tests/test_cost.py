"""Latency, memory, FLOPs and their fresh process, with models whose cost is known.

This module is also the plugin that the fresh process loads.
"""

import json
import math
import multiprocessing
import os
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mmbench.compression import Compression
from mmbench.contracts import Dataset, Encoder, Fitted, Fusion, Head, Objective, Outputs
from mmbench.errors import DataUnavailable
from mmbench.evaluation.disturbance import (
    Disturbance,
    others_cpu_s,
    quota_ran_out,
    slowed_for_heat,
)
from mmbench.evaluation.energy import energy_mj_per_request
from mmbench.evaluation.environment import environment, git_commit
from mmbench.evaluation.flops import flops, operations
from mmbench.evaluation.hardware import hardware, hardware_line
from mmbench.evaluation.latency import OutputsDiffer, measure_latency, quick_latency_ms
from mmbench.evaluation.measure import MeasurementFailed, measure, measure_in_fresh_process
from mmbench.evaluation.memory import (
    PeakMemory,
    measure_memory,
    parameters,
    release_freed_memory,
    resident_mib,
)
from mmbench.evaluation.nvml import gpu_state
from mmbench.evaluation.timing import WINDOW, Pace, draw_requests, percentiles, warm_up
from mmbench.evaluation.training_memory import measure_training
from mmbench.hookspecs import hookimpl
from mmbench.model import FusionModel, build_encoders, build_model
from mmbench.plugins import PluginRecord, Plugins
from mmbench.resolve import resolve
from mmbench.saved import load_answers, load_model, load_requests, save_compressed, save_model
from mmbench.spec import Component, TrialSpec
from mmbench.types import MISSING, Column, Encoded, Features, Part, Split, Task

CPU = torch.device("cpu")
MIB = 2**20
STAGES = {"whole", "transfer", "encoders", "fusion", "head"}


class TinyData(Dataset):
    name = "cost-task"
    version = "1"
    task = Task({"a": "tabular", "b": "tabular"}, "classification", ("x", "y"), "accuracy")

    def load(self, part: Part) -> Split:
        values = torch.randn(80, 3, generator=torch.Generator().manual_seed(0))
        shared = Column(values[:20], torch.arange(80) // 4)
        return Split({"a": Column(values), "b": shared}, torch.zeros(80, dtype=torch.long))


class TinyEncoder(Encoder):
    name = "cost-encoder"
    accepts = "tabular"

    def __init__(self, fitted: Fitted, *, width: int = 8) -> None:
        super().__init__(fitted)
        self.out_dim = width
        self.linear = nn.Linear(3, width)

    def forward(self, inputs: Tensor) -> Encoded:
        return Encoded.vector(self.linear(inputs))


class TinyFusion(Fusion):
    name = "cost-fusion"

    def __init__(self, dims: Mapping[str, int]) -> None:
        super().__init__(dims)
        self.out_dim = sum(dims.values())

    def forward(self, features: Features) -> Tensor:
        return torch.cat([f.pooled for f in features.values()], dim=1)


class TinyHead(Head):
    name = "cost-head"

    def __init__(self, in_dim: int, n_outputs: int) -> None:
        super().__init__(in_dim, n_outputs)
        self.linear = nn.Linear(in_dim, n_outputs)

    def forward(self, fused: Tensor) -> Tensor:
        return self.linear(fused)


class LargeHead(TinyHead):
    """Trains a weight of 16 MiB besides."""

    name = "cost-large-head"

    def __init__(self, in_dim: int, n_outputs: int) -> None:
        super().__init__(in_dim, n_outputs)
        self.large = nn.Parameter(torch.ones(16 * MIB // 4))

    def forward(self, fused: Tensor) -> Tensor:
        return super().forward(fused) + self.large.mean()


class TinyObjective(Objective):
    name = "cost-objective"

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs.scores, target)


@hookimpl
def register_datasets() -> list[type[Dataset]]:
    return [TinyData]


@hookimpl
def register_encoders() -> list[type[Encoder]]:
    return [TinyEncoder]


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [TinyFusion]


@hookimpl
def register_heads() -> list[type[Head]]:
    return [TinyHead, LargeHead]


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [TinyObjective]


class SleepingFusion(TinyFusion):
    def forward(self, features: Features) -> Tensor:
        time.sleep(0.005)
        return super().forward(features)


class RememberingEncoder(TinyEncoder):
    """Slow, but answers at once whatever it was asked before."""

    def __init__(self, fitted: Fitted) -> None:
        super().__init__(fitted)
        self.remembered: dict[tuple[float, ...], Encoded] = {}

    def forward(self, inputs: Tensor) -> Encoded:
        key = tuple(inputs.flatten().tolist())
        if key not in self.remembered:
            time.sleep(0.002)
            self.remembered[key] = super().forward(inputs)
        return self.remembered[key]


class StuckHead(TinyHead):
    """Gives its first answer for ever."""

    first: Tensor | None = None

    def forward(self, fused: Tensor) -> Tensor:
        scores = super().forward(fused)
        if self.first is None:
            self.first = scores[:1]
        return self.first.expand_as(scores)


class NaNHead(TinyHead):
    def forward(self, fused: Tensor) -> Tensor:
        return super().forward(fused) * math.nan


class ConstantFusion(TinyFusion):
    """What a majority baseline does: reads no modality."""

    @classmethod
    def reads(cls, modalities: object, **params: object) -> tuple[str, ...]:
        return ()


def requests() -> Split:
    return TinyData().load("val")


def model(
    encoder: type[Encoder] = TinyEncoder,
    fusion: type[Fusion] = TinyFusion,
    head: type[Head] = TinyHead,
    modalities: tuple[str, ...] = ("a", "b"),
) -> FusionModel:
    encoders = {m: encoder({"shape": [3]}) for m in modalities}
    fused = fusion({m: e.out_dim for m, e in encoders.items()} or {"constant": 1})
    return FusionModel(encoders, fused, head(fused.out_dim, 2), {})


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


# --- latency


@pytest.mark.parametrize(("slower", "settles"), [(1.0, True), (1.5, False)])
def test_a_slow_model_gets_the_requests_that_show_whether_it_is_steady(
    slower: float, settles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though its time is up long before, as that of batches through a large encoder."""
    times = iter([400.0] * WINDOW + [400.0 * slower] * WINDOW)
    monkeypatch.setattr("mmbench.evaluation.timing.timed", lambda *_: (next(times), None))
    assert warm_up(lambda _: None, CPU, cap_s=0.0) is settles
    assert next(times, None) is None


def test_time_is_charged_to_the_stage_that_takes_it() -> None:
    document = measure_latency(model(fusion=SleepingFusion), requests(), CPU, min_requests=30)
    for size in (1, 32):
        found = document[f"batch_{size}"]
        assert found.keys() == STAGES | {"warm_up_stable"}
        assert found["fusion"]["ms_p50"] >= 5
        assert found["whole"]["ms_p50"] >= 5
        assert max(found[s]["ms_p50"] for s in ("transfer", "encoders", "head")) < 4.5
        assert found["whole"]["ms_p50"] <= found["whole"]["ms_p90"] <= found["whole"]["ms_p95"]
        assert found["whole"]["requests"] >= 30
    assert document["throughput_batch"] == 80
    assert document["throughput_rows_per_s"] <= 80 / 0.005
    assert document["dtype"] == "float32"
    assert 0.5 < document["repeat_ratio"] < 2
    json.dumps(document, allow_nan=False)


def test_a_fast_model_is_asked_at_least_a_hundred_requests_in_little_time() -> None:
    start = time.perf_counter()
    document = measure_latency(model(), requests(), CPU)
    assert time.perf_counter() - start < 10
    for stage in STAGES:
        assert document["batch_1"][stage]["requests"] >= 100


def test_a_model_that_remembers_is_found_out() -> None:
    document = measure_latency(model(RememberingEncoder), requests(), CPU, min_requests=20)
    assert document["repeat_ratio"] < 0.5


def test_answers_that_differ_from_the_untimed_ones_are_an_error() -> None:
    class Dropping(TinyHead):
        def forward(self, fused: Tensor) -> Tensor:
            return super().forward(nn.functional.dropout(fused, 0.5, training=True))

    with pytest.raises(OutputsDiffer, match="random in evaluation mode"):
        measure_latency(model(head=Dropping), requests(), CPU, min_requests=20)


def test_answers_that_differ_from_those_when_saved_are_an_error() -> None:
    torch.manual_seed(0)
    true = model()
    expected = true(requests().rows(torch.arange(32))).scores.detach()
    assert measure_latency(true, requests(), CPU, min_requests=20, expected=expected)
    stuck = model(head=StuckHead)
    stuck.load_state_dict(true.state_dict())
    with pytest.raises(OutputsDiffer, match="as it did when it was saved"):
        measure_latency(stuck, requests(), CPU, min_requests=20, expected=expected)


def test_answers_in_large_batches_are_checked_too() -> None:
    class OnlySmall(TinyHead):
        """Right up to 32 rows at a time."""

        def forward(self, fused: Tensor) -> Tensor:
            return super().forward(fused) * (1 if len(fused) <= 32 else 2)

    with pytest.raises(OutputsDiffer, match="differently while it was timed"):
        measure_latency(model(head=OnlySmall), requests(), CPU, min_requests=20)


def test_a_model_whose_scores_are_nan_can_be_timed() -> None:
    document = measure_latency(model(head=NaNHead), requests(), CPU, min_requests=20)
    json.dumps(document, allow_nan=False)


def test_the_same_request_never_comes_twice_in_a_row() -> None:
    drawn = draw_requests(model(), requests(), 1)
    rows = [int(r.rows) for r in drawn]
    assert len(set(rows)) == len(rows) == 64
    few = draw_requests(model(), requests().rows(torch.arange(3)), 32)
    assert [len(r.rows) for r in few] == [32, 32]
    assert not few[0].rows.equal(few[1].rows)


def test_one_request_alone_has_no_repeat_ratio() -> None:
    one = requests().rows(torch.tensor([0]))
    assert measure_latency(model(), one, CPU, min_requests=20)["repeat_ratio"] is None


def test_encoded_or_absent_requests_are_refused() -> None:
    encoded = Column(Encoded.vector(torch.zeros(80, 8)))
    with pytest.raises(ValueError, match="encoded"):
        quick_latency_ms(model(), requests().with_column("a", encoded), CPU)
    with pytest.raises(ValueError, match="no requests"):
        quick_latency_ms(model(), requests().rows(torch.tensor([], dtype=torch.long)), CPU)


def test_a_quick_look_is_quick_and_about_right() -> None:
    slow = model(fusion=SleepingFusion)
    slow.train()
    start = time.perf_counter()
    assert 5 <= quick_latency_ms(slow, requests(), CPU) < 50
    assert time.perf_counter() - start < 3
    assert slow.training


def test_p99_only_from_five_hundred_requests() -> None:
    assert percentiles([1.0] * 499).keys() == {"ms_p50", "ms_p90", "ms_p95", "requests"}
    found = percentiles([float(i) for i in range(1, 502)])
    assert (found["ms_p50"], found["ms_p90"], found["ms_p99"]) == (251, 451, 496)


def test_a_pace_keeps_its_bounds() -> None:
    assert len(list(Pace(least=3, enough=10, most=50, budget_s=0, cap_s=0))) == 3
    assert len(list(Pace(least=3, enough=10, most=50, budget_s=0, cap_s=9))) == 10
    assert len(list(Pace(least=3, enough=10, most=50, budget_s=9, cap_s=9))) == 50


# --- memory, FLOPs


class Heavy(TinyHead):
    """Holds a weight of 64 MiB and, while it answers, 32 MiB more."""

    def __init__(self, in_dim: int, n_outputs: int) -> None:
        super().__init__(in_dim, n_outputs)
        self.heavy = nn.Parameter(torch.ones(64 * MIB // 4))

    def forward(self, fused: Tensor) -> Tensor:
        return super().forward(fused) + torch.ones(32 * MIB // 4)[:1]


def heavy_document() -> dict[str, Any]:
    torch.set_num_threads(1)
    release_freed_memory()
    baseline_mib = resident_mib()
    return measure_memory(model(head=Heavy), requests(), CPU, baseline_mib=baseline_mib)


def test_weights_and_what_is_held_while_answering_are_both_seen() -> None:
    # in a process of its own, as it is measured: here, what other tests left behind would count
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        document = fresh.submit(heavy_document).result()
    assert document["weights_mib"] == pytest.approx(64, abs=0.01)
    for size in (1, 32):
        assert 88 <= document[f"batch_{size}"]["peak_memory_mib"] < 140
    assert document["parameters"] == 16 * MIB + 2 * (3 * 8 + 8) + 16 * 2 + 2
    assert document["parameters_encoders"] == {"a": 32, "b": 32}
    assert document["parameters_fusion"] == 0


def test_the_peak_is_seen_although_it_has_passed() -> None:
    release_freed_memory()
    with PeakMemory(CPU) as peak:
        held = torch.ones(48 * MIB // 4)
        del held
    assert 47 <= peak.mib < 90
    with PeakMemory(CPU) as nothing:
        pass
    assert nothing.mib < 40
    assert nothing.reserved_mib is None


def test_where_the_kernel_keeps_no_peak_it_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmbench.evaluation.memory._forget_peak", lambda: False)
    release_freed_memory()
    with PeakMemory(CPU) as peak:
        held = torch.ones(240 * MIB // 4)  # much: the kernel may take other pages back meanwhile
        time.sleep(0.05)
        del held
    assert peak.method == "sampled"
    assert 235 <= peak.mib < 282


def test_shared_weights_count_once() -> None:
    shared = model()
    shared.encoders["b"] = shared.encoders["a"]
    assert parameters(shared)["parameters"] == 32 + 34
    assert parameters(shared)["weights_mib"] == pytest.approx(66 * 4 / MIB, abs=1e-3)


def test_flops_of_linear_layers_are_exact() -> None:
    two_encoders, head = 2 * (2 * 3 * 8), 2 * 16 * 2
    assert flops(model(), requests()) == two_encoders + head
    found = requests()
    index = torch.full((len(found),), MISSING)
    index[-1] = 0
    sparse = found.with_column("a", Column(found.columns["a"].values, index))
    assert flops(model(), sparse) == two_encoders + head, "of a row that misses nothing"


class Recurrent(TinyEncoder):
    def __init__(self, fitted: Fitted) -> None:
        super().__init__(fitted)
        self.lstm = nn.LSTM(3, 8, batch_first=True)

    def forward(self, inputs: Tensor) -> Encoded:
        tokens = self.lstm(inputs[:, None].expand(-1, 5, -1))[0]
        return Encoded(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool))


class Attentive(TinyEncoder):
    def __init__(self, fitted: Fitted) -> None:
        super().__init__(fitted)
        self.layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)

    def forward(self, inputs: Tensor) -> Encoded:
        tokens = self.layer(self.linear(inputs)[:, None].expand(-1, 5, -1))
        return Encoded(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool))


def test_flops_inside_fused_kernels_are_counted() -> None:
    head = 2 * 8 * 2
    lstm = 2 * 5 * 4 * 8 * (3 + 8)  # four gates at five steps read input and state
    assert flops(model(Recurrent, modalities=("a",)), requests()) == lstm + head
    projections = 2 * 5 * 8 * 8 * 4
    attention = 2 * (2 * 5 * 5 * 8)
    feed_forward = 2 * (2 * 5 * 8 * 16)
    layer = 2 * 3 * 8 + projections + attention + feed_forward
    assert flops(model(Attentive, modalities=("a",)), requests()) == layer + head


class Convolutional(TinyEncoder):
    def __init__(self, fitted: Fitted) -> None:
        super().__init__(fitted)
        self.convolution = nn.Conv1d(1, 8, 3, padding=1)
        self.recurrent = nn.GRU(8, 8, batch_first=True)

    def forward(self, inputs: Tensor) -> Encoded:
        tokens = self.recurrent(self.convolution(inputs[:, None]).mT)[0]
        return Encoded(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool))


def test_flops_of_convolutions_and_gated_units_are_counted() -> None:
    convolution = 2 * 3 * 8 * 3  # eight filters of width three at three places
    gru = 2 * 3 * 3 * 8 * (8 + 8)  # three gates at three steps read input and state
    head = 2 * 8 * 2
    asked = model(Convolutional, modalities=("a",))
    assert flops(asked, requests()) == convolution + gru + head


@pytest.mark.parametrize(
    ("product", "expected"),
    [
        (lambda: nn.Bilinear(3, 4, 5)(torch.ones(2, 3), torch.ones(2, 4)), 2 * 2 * 3 * 4 * 5),
        (lambda: torch.ones(2, 5, 3) @ torch.ones(3), 2 * 2 * 5 * 3),
        (lambda: torch.addmv(torch.ones(5), torch.ones(5, 3), torch.ones(3)), 2 * 5 * 3),
        (lambda: torch.ones(3) @ torch.ones(3), 2 * 3),
    ],
    ids=["bilinear", "tokens by a vector", "with a bias", "two vectors"],
)
def test_flops_of_products_with_vectors_are_counted(
    product: Callable[[], Tensor], expected: int
) -> None:
    assert operations(model(), product) == expected


def test_a_model_that_reads_nothing_can_be_measured() -> None:
    nothing = model(fusion=ConstantFusion, modalities=())
    assert measure_latency(nothing, requests(), CPU, min_requests=20)["batch_1"]["encoders"]
    assert measure_memory(nothing, requests(), CPU, baseline_mib=0)["parameters_encoders"] == {}
    assert flops(nothing, requests()) == 2 * 1 * 2
    assert quick_latency_ms(nothing, requests(), CPU) > 0


# --- hardware, environment


def test_hardware_is_json_and_its_line_is_short() -> None:
    found = hardware()
    json.dumps(found, allow_nan=False)
    assert found["threads"] == 1
    assert found["memory_gib"] > 0
    line = hardware_line({**found, "cpu": "AMD EPYC", "cores": 2}, CPU)
    assert line == "AMD EPYC, 2 cores, 1 thread"
    gpu = {**found, "gpus": [{"name": "NVIDIA A"}, {"name": "NVIDIA B"}]}
    assert hardware_line(gpu, torch.device("cuda")) == "NVIDIA A"
    assert hardware_line(gpu, torch.device("cuda:1")) == "NVIDIA B"


def test_a_limited_or_throttled_machine_is_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmbench.evaluation.hardware.cpu_quota_cores", lambda: 0.5)
    assert hardware()["flags"] == ["thread-limited"]
    slow = [{"name": "NVIDIA A", "throttled": True}]
    monkeypatch.setattr("mmbench.evaluation.hardware.gpus", lambda: slow)
    monkeypatch.setattr("mmbench.evaluation.hardware.cpu_quota_cores", lambda: None)
    assert hardware()["flags"] == ["throttled"]
    monkeypatch.setattr(
        "mmbench.evaluation.hardware.gpus", lambda: [{**slow[0], "throttled": False}]
    )
    assert hardware()["flags"] == []


def watched(monkeypatch: pytest.MonkeyPatch, **rising: list[float]) -> Disturbance:
    """A watch over one second in which these readings were made, before and after."""
    module = "mmbench.evaluation.disturbance"
    readings = {"others_cpu_s": [0, 0], "quota_ran_out": [3, 3], "slowed_for_heat": [7, 7]}
    for name, values in {**readings, **rising}.items():
        monkeypatch.setattr(f"{module}.{name}", iter(values).__next__)
    monkeypatch.setattr(f"{module}.time.perf_counter", iter([0.0, 1.0]).__next__)
    monkeypatch.setattr(f"{module}.usable_cores", lambda: 4)
    with Disturbance() as watch:
        pass
    return watch


def test_what_happens_while_measuring_is_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watched(monkeypatch).flags == []
    free = watched(monkeypatch, others_cpu_s=[10, 12.9])  # one core of four is left to one thread
    assert (free.flags, free.others_cores) == ([], pytest.approx(2.9))
    assert watched(monkeypatch, others_cpu_s=[10, 13.5]).flags == ["contended"]
    assert watched(monkeypatch, quota_ran_out=[3, 4]).flags == ["thread-limited"]
    assert watched(monkeypatch, slowed_for_heat=[7, 8]).flags == ["throttled"]


def test_the_time_of_others_is_what_is_neither_ours_nor_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = namedtuple("whole", "user nice system idle iowait steal guest guest_nice")
    ours, foreign = whole(10.0, 1.0, 4.0, 99.0, 9.0, 2.0, 3.0, 0.5), whole(*8 * [70.0])
    monkeypatch.setattr(psutil, "cpu_times", lambda *, percpu: [foreign, ours][: 1 + percpu])
    monkeypatch.setattr("mmbench.evaluation.disturbance.own_cores", lambda: {1})
    own = SimpleNamespace(cpu_times=lambda: SimpleNamespace(user=5.0, system=1.5))
    monkeypatch.setattr(psutil, "Process", lambda: own)
    # guests' time is part of user and nice; another guest's is steal
    assert others_cpu_s() == pytest.approx(10 + 1 + 4 + 2 - 5 - 1.5)


def test_another_process_at_work_is_seen() -> None:
    script = "import time\nwhile time.process_time() < 0.3: pass"
    before = others_cpu_s()
    subprocess.run([sys.executable, "-c", script], check=True)
    assert others_cpu_s() - before > 0.25


def test_counters_are_read_from_the_kernels_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat, cpus = tmp_path / "cpu.stat", tmp_path / "cpus"
    monkeypatch.setattr("mmbench.evaluation.disturbance.CPU_STAT", stat)
    monkeypatch.setattr("mmbench.evaluation.disturbance.CPUS", cpus)
    assert (quota_ran_out(), slowed_for_heat()) == (0, 0)
    stat.write_text("usage_usec 9\nnr_periods 5\nnr_throttled 2\n")
    for core, count in (("cpu0", 3), ("cpu1", 4)):
        folder = cpus / core / "thermal_throttle"
        folder.mkdir(parents=True)
        (folder / "core_throttle_count").write_text(f"{count}\n")
    assert (quota_ran_out(), slowed_for_heat()) == (2, 7)


@pytest.mark.skipif(torch.cuda.is_available(), reason="what a machine without a GPU says")
def test_without_a_gpu_the_driver_says_nothing() -> None:
    assert gpu_state(torch.device("cuda")) == {}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_measured(tmp_path: Path, installed: Plugins) -> None:
    save(tmp_path, installed)
    document = measure_in_fresh_process(tmp_path, "cuda", threads=1)
    json.dumps(document, allow_nan=False)
    assert document["memory"]["method"] == "cuda"
    assert document["memory"]["batch_32"]["peak_memory_reserved_mib"] > 0
    assert document["memory"]["training"]["peak_memory_reserved_mib"] > 0
    assert document["hardware"]["gpus"][0]["name"]


def test_energy_is_absent_without_a_gpu() -> None:
    assert energy_mj_per_request(model(), requests(), CPU) is None


def test_environment_names_versions_plugins_and_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = Plugins(records=[PluginRecord("tensor", "mmbench-tensor", "0.2", "loaded")])
    monkeypatch.chdir(tmp_path)
    found = environment(plugins)
    json.dumps(found, allow_nan=False)
    assert found["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert found["plugins"][0]["distribution"] == "mmbench-tensor"
    assert found["git"] is None
    commit_something(tmp_path)
    clean = git_commit()
    assert clean is not None
    assert len(clean["commit"]) == 40
    assert not clean["dirty"]
    (tmp_path / "file").write_text("changed")
    assert git_commit() == {**clean, "dirty": True}


def commit_something(folder: Path) -> None:
    (folder / "file").write_text("")
    who = ["-c", "user.name=t", "-c", "user.email=t@t"]
    for arguments in (["init", "-q"], ["add", "file"], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)


# --- a fresh process


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugins:
    """This module as an installed plugin of the fresh process, and registered in this one."""
    info = tmp_path / "site" / "cost_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cost-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mmbench]\ncost = test_cost\n")
    here = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (info.parent, here))))
    plugins = Plugins()
    plugins.datasets.add(TinyData, "test")
    plugins.encoders.add(TinyEncoder, "test")
    plugins.fusions.add(TinyFusion, "test")
    plugins.heads.add(TinyHead, "test")
    plugins.heads.add(LargeHead, "test")
    plugins.objectives.add(TinyObjective, "test")
    return plugins


def save(folder: Path, plugins: Plugins, head: str = "cost-head") -> FusionModel:
    encoder = Component("cost-encoder", {"width": 16})
    spec = TrialSpec(
        Component("cost-task"),
        {"a": encoder, "b": encoder},
        Component("cost-fusion"),
        Component(head),
        Component("cost-objective"),
    )
    resolved = resolve(spec, plugins)
    fitted = {"a": {"shape": [3]}, "b": {"shape": [3]}}
    built = build_model(resolved, build_encoders(resolved, fitted))
    save_model(folder, resolved, built, requests())
    return built


def test_a_fresh_process_measures_everything(tmp_path: Path, installed: Plugins) -> None:
    built = save(tmp_path / "model", installed)
    document = measure_in_fresh_process(tmp_path / "model", "cpu", threads=1)
    json.dumps(document, allow_nan=False)
    assert document["latency"]["batch_32"]["whole"]["requests"] >= 100
    assert document["memory"]["parameters"] == parameters(built)["parameters"]
    assert 0 < document["memory"]["batch_1"]["peak_memory_mib"] < 100
    assert document["memory"]["baseline_mib"] > 50
    assert document["flops"] == flops(built, requests())
    assert document["threads"] == document["hardware"]["threads"] == 1
    assert document["device"] == "cpu"
    assert "caches" not in document["flags"]
    assert document["others_cores"] >= 0


def test_training_takes_gradients_moments_and_the_best_weights_too(
    tmp_path: Path, installed: Plugins
) -> None:
    save(tmp_path / "model", installed, "cost-large-head")
    memory = measure_in_fresh_process(tmp_path / "model", "cpu", threads=1)["memory"]
    assert memory["training"]["batch_size"] == 128
    # of 16 MiB each: the weight, two moments, and the gradient or, once that is cleared, the copy
    # that is gone back to; the allocator may still hold what was cleared
    assert 62 <= memory["training"]["peak_memory_mib"] < 100
    assert memory["batch_1"]["peak_memory_mib"] < 40


def test_what_cannot_be_trained_is_said(tmp_path: Path, installed: Plugins) -> None:
    built = save(tmp_path, installed)
    saved = load_model(tmp_path, installed, CPU)
    save_compressed(tmp_path, replace(saved, model=built), Compression(prune=0.5))
    assert measure_training(tmp_path, installed, CPU) == {"reason": "the model is 50% pruned"}
    save(tmp_path / "other", installed)  # whose plugins lack the metric that training is judged by
    reason = measure_training(tmp_path / "other", installed, CPU)["reason"]
    assert "accuracy" in reason


def test_a_model_that_is_not_the_saved_one_is_not_measured(
    tmp_path: Path, installed: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, installed)
    save_file({"scores": torch.full((32, 2), 9.0)}, tmp_path / "answers.safetensors")
    monkeypatch.setattr("mmbench.evaluation.measure.load_plugins", lambda: installed)
    with pytest.raises(OutputsDiffer, match="as it did when it was saved"):
        measure(tmp_path, CPU)


def test_a_saved_model_answers_as_before(tmp_path: Path, installed: Plugins) -> None:
    built = save(tmp_path, installed)
    again = load_model(tmp_path, installed, CPU)
    assert again.model(again.requests).scores.equal(built(requests()).scores)
    assert load_answers(tmp_path).equal(built(requests().rows(torch.arange(32))).scores)
    (tmp_path / "answers.safetensors").unlink()
    assert load_answers(tmp_path) is None  # saved by an older mmbench
    only = load_requests(tmp_path)
    assert only.columns["b"].index is not None
    assert only.columns["b"].index.equal(requests().columns["b"].index)


def test_what_the_fresh_process_says_when_it_fails_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(MeasurementFailed, match="is no saved model") as caught:
        measure_in_fresh_process(tmp_path, "cpu", threads=1)
    assert "Traceback" not in str(caught.value)
    with pytest.raises(MeasurementFailed, match="took longer than"):
        measure_in_fresh_process(tmp_path, "cpu", threads=1, timeout_s=0.01)


def test_a_damaged_folder_is_named(tmp_path: Path, installed: Plugins) -> None:
    save(tmp_path, installed)
    (tmp_path / "requests.safetensors").write_bytes(b"nonsense")
    with pytest.raises(DataUnavailable, match="damaged"):
        load_requests(tmp_path)
