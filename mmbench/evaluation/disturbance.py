"""Was the machine ours while it was measured? What others used, and what held the cores back.

The load average would answer for the last minute, in which our own workers were busy.
"""

import re
import time
from pathlib import Path
from typing import Any, Self

import torch

from mmbench.evaluation.flags import contended
from mmbench.evaluation.hardware import own_cores, usable_cores

THROTTLE_COUNTS = "cpu*/thermal_throttle/core_throttle_count"
CPUS = Path("/sys/devices/system/cpu")
CPU_STAT = Path("/sys/fs/cgroup/cpu.stat")


class Disturbance:
    """Watches the machine during a ``with`` block; afterwards ``flags`` says what disturbed.

    ``contended``: other processes, or other guests of the host, left fewer cores idle than there
    are threads. ``thread-limited``: the container's quota ran out (cgroup v2). ``throttled``: a
    core was slowed down for heat. What cannot be read raises no flag.
    """

    def __enter__(self) -> Self:
        self.flags: list[str] = []
        self._start = time.perf_counter()
        self._before = others_cpu_s(), quota_ran_out(), slowed_for_heat()
        return self

    def __exit__(self, *_: object) -> None:
        elapsed = max(time.perf_counter() - self._start, 1e-9)
        used, quota, heat = others_cpu_s(), quota_ran_out(), slowed_for_heat()
        self.others_cores = max(0.0, (used - self._before[0]) / elapsed)
        threads = torch.get_num_threads()
        raised = {
            "contended": contended(self.others_cores, usable_cores(), threads),
            "thread-limited": quota > self._before[1],
            "throttled": heat > self._before[2],
        }
        self.flags = [flag for flag, is_raised in raised.items() if is_raised]


def others_cpu_s() -> float:
    """Seconds of our cores since the machine started that were not this process's, nor idle.

    Others that are busy on cores which this process may not use do not disturb it.
    """
    import psutil

    cores = psutil.cpu_times(percpu=True)
    ours = [cores[core] for core in own_cores() if core < len(cores)]
    own = psutil.Process().cpu_times()
    return float(sum(map(_busy_s, ours or cores)) - own.user - own.system)


def _busy_s(core: Any) -> float:
    idle = core.idle + getattr(core, "iowait", 0.0)
    counted_twice = getattr(core, "guest", 0.0) + getattr(core, "guest_nice", 0.0)
    return float(sum(core) - idle - counted_twice)


def quota_ran_out() -> int:
    """In how many periods this container used up its time; 0 where there is no quota."""
    try:
        found = re.search(r"^nr_throttled (\d+)$", CPU_STAT.read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found.group(1)) if found else 0


def slowed_for_heat() -> int:
    """How often a core was slowed down for heat since the machine started."""
    try:
        return sum(int(path.read_text()) for path in CPUS.glob(THROTTLE_COUNTS))
    except (OSError, ValueError):
        return 0
