"""How much memory a model needs: its weights, and the peak while it answers or trains.

On CUDA the peak is what the process allocated, and what PyTorch reserved for it. On the CPU it is
the peak resident memory of the process over a baseline read before the model was built. Linux keeps
that peak (``VmHWM``) and forgets it on demand (``/proc/self/clear_refs``, proc(5)); elsewhere a
thread samples. The kernels' own code and buffers count, so that small models differ by little.
"""

import ctypes
import gc
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from mmbench.contracts import count_parameters
from mmbench.evaluation.timing import ask, draw_requests, synchronise, undisturbed
from mmbench.model import FusionModel
from mmbench.types import Split

MIB = 2**20
SAMPLE_S = 0.001
RESET_PEAK = "5"  # what clear_refs takes to set VmHWM back to the present resident size


def parameters(model: FusionModel) -> dict[str, Any]:
    """Numbers in the whole model, its fusion and each encoder, and MiB of weights with buffers.

    Heads of single modalities belong to the whole only.
    """
    return {
        "parameters": count_parameters(model),
        "parameters_fusion": count_parameters(model.fusion),
        "parameters_encoders": {m: count_parameters(e) for m, e in model.encoders.items()},
        "weights_mib": round(weights_mib(model), 3),
    }


def weights_mib(model: nn.Module) -> float:
    """MiB of all parameters and buffers; shared ones count once."""
    tensors = {id(t): t for t in (*model.parameters(), *model.buffers())}
    return sum(t.numel() * t.element_size() for t in tensors.values()) / MIB


class PeakMemory:
    """The peak memory, in MiB, of the code inside a ``with`` block.

    CUDA: ``mib`` is the peak of allocated memory above ``baseline_mib``, of all if that is not
    given; ``reserved_mib`` is the peak of reserved memory of the whole process. CPU: ``mib`` is the
    peak resident size above ``baseline_mib``, which is read on entering if it is not given.
    ``method`` says how: ``cuda``, ``VmHWM`` or ``sampled``. There is one peak per process: blocks
    must not be nested.
    """

    def __init__(self, device: torch.device, baseline_mib: float | None = None) -> None:
        self.device, self.mib = device, 0.0
        self.baseline_mib = baseline_mib
        self.method = "cuda"
        self.reserved_mib: float | None = None

    def __enter__(self) -> Self:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.init()  # there are no statistics to reset before
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
            return self
        if self.baseline_mib is None:
            self.baseline_mib = resident_mib()
        self.method = "VmHWM" if _forget_peak() else "sampled"
        if self.method == "sampled":
            self._sampler = _Sampler()
            self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.device.type == "cuda":
            synchronise(self.device)
            peak = torch.cuda.max_memory_allocated(self.device) / MIB
            self.mib = peak - (self.baseline_mib or 0.0)
            self.reserved_mib = torch.cuda.max_memory_reserved(self.device) / MIB
            return
        peak = _peak_mib() if self.method == "VmHWM" else self._sampler.stop()
        self.mib = max(0.0, peak - (self.baseline_mib or 0.0))


def held_mib(device: torch.device) -> float:
    """What this process holds now, in MiB: of a CUDA device what PyTorch has allocated there."""
    return torch.cuda.memory_allocated(device) / MIB if device.type == "cuda" else resident_mib()


def measure_memory(
    model: FusionModel,
    requests: Split,
    device: torch.device,
    *,
    baseline_mib: float,
    batch_sizes: Sequence[int] = (1, 32),
) -> dict[str, Any]:
    """Parameters, weights, and the peak while a few requests of each batch size are answered.

    ``baseline_mib`` is the resident memory right before the model was built, in this process; a
    CUDA device does not need it.
    """
    document = parameters(model)
    for size in batch_sizes:
        drawn = draw_requests(model, requests, size)[:3]
        release_freed_memory()
        base = baseline_mib if device.type == "cpu" else None
        with PeakMemory(device, base) as peak, undisturbed(model):
            for request in drawn:
                ask(model, request.batch, device)
        document[f"batch_{size}"] = figures(peak)
    return {**document, "method": peak.method}


def figures(peak: PeakMemory) -> dict[str, float]:
    """As they stand in a cost document."""
    found = {"peak_memory_mib": round(peak.mib, 2)}
    if peak.reserved_mib is not None:
        found["peak_memory_reserved_mib"] = round(peak.reserved_mib, 2)
    return found


def resident_mib() -> float:
    """Resident memory of this process, in MiB."""
    import psutil

    return float(psutil.Process().memory_info().rss) / MIB


def release_freed_memory() -> None:
    """Give what was freed back to the system, so that it is not counted as used (glibc only)."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _forget_peak() -> bool:
    """Set the kernel's peak back to the present size; whether that is possible here."""
    try:
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)
        return _peak_mib() > 0
    except OSError:
        return False


def _peak_mib() -> float:
    """``VmHWM`` in MiB, or 0 where the kernel does not say."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


class _Sampler(threading.Thread):
    """Reads the resident size every millisecond; misses what comes and goes in between."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._done = threading.Event()
        self._peak_mib = resident_mib()

    def run(self) -> None:
        while not self._done.wait(SAMPLE_S):
            self._peak_mib = max(self._peak_mib, resident_mib())

    def stop(self) -> float:
        self._done.set()
        self.join()
        return max(self._peak_mib, resident_mib())
