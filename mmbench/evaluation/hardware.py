"""What the figures were measured on, and whether it was in a fit state."""

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mmbench.evaluation.nvml import gpu_state

GIB = 2**30


def hardware() -> dict[str, Any]:
    """Processor, memory, GPUs and their state now, as JSON; what cannot be read is absent.

    ``flags``: ``thread-limited`` (fewer cores to be had than threads in use), ``throttled`` (a GPU
    below its clocks for heat or power). What happens while measuring is for ``disturbance``.
    """
    import psutil

    found = {
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "cores_total": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "cpu_quota_cores": cpu_quota_cores(),
        "cpu_mhz": cpu_mhz(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "load_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "memory_gib": round(psutil.virtual_memory().total / GIB, 1),
        "gpus": gpus(),
    }
    known = {k: v for k, v in found.items() if v is not None}
    return {**known, "flags": _flags(known)}


def hardware_line(found: Mapping[str, Any], device: torch.device) -> str:
    """``NVIDIA H200`` or ``AMD EPYC, 2 cores, 1 thread``: rows with one line are comparable."""
    if device.type == "cuda":
        return str(found["gpus"][device.index or 0]["name"])
    return f"{found['cpu']}, {_count(found['cores'], 'core')}, {_count(found['threads'], 'thread')}"


def gpus() -> list[dict[str, Any]]:
    """Every visible CUDA device: name, memory, and what its driver says."""
    if not torch.cuda.is_available():
        return []
    devices = [torch.device("cuda", i) for i in range(torch.cuda.device_count())]
    return [
        {
            "name": torch.cuda.get_device_properties(d).name,
            "memory_gib": round(torch.cuda.get_device_properties(d).total_memory / GIB, 1),
            **gpu_state(d),
        }
        for d in devices
    ]


def cpu_model() -> str:
    """The processor's name without its marks and its clock."""
    names = re.findall(r"^model name\s*: (.+)$", _read("/proc/cpuinfo") or "", re.MULTILINE)
    name = names[0] if names else platform.processor() or platform.machine() or "unknown CPU"
    return re.sub(r"\((R|TM)\)|\s+CPU|\s*@.*|\s+\d+-Core Processor|\s+Processor", "", name).strip()


def cpu_mhz() -> float | None:
    """The fastest core's clock now, in MHz."""
    clocks = re.findall(r"^cpu MHz\s*: ([\d.]+)$", _read("/proc/cpuinfo") or "", re.MULTILINE)
    return max((round(float(c), 1) for c in clocks), default=None)


def own_cores() -> set[int]:
    """Numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def usable_cores() -> int:
    return len(own_cores())


def cpu_quota_cores() -> float | None:
    """Cores' worth of time that a container is given (cgroup v2, then v1), None if all."""
    quota, _, period = (_read("/sys/fs/cgroup/cpu.max") or "").partition(" ")
    if not period:
        quota = _read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") or "max"
        period = _read("/sys/fs/cgroup/cpu/cpu.cfs_period_us") or "100000"
    return None if quota in ("max", "-1") else int(quota) / int(period)


def _flags(found: Mapping[str, Any]) -> list[str]:
    cores = min(found["cores"], found.get("cpu_quota_cores", found["cores"]))
    raised = {
        "thread-limited": cores < found["threads"],
        "throttled": any(gpu.get("throttled") for gpu in found["gpus"]),
    }
    return [flag for flag, is_raised in raised.items() if is_raised]


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
