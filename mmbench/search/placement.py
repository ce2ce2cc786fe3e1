"""Which cores and which GPU a worker uses.

A trial of a fusion is small: processes side by side bring more than threads inside one, and two
threads on a busy core cost more than they bring. So a worker has one thread unless told otherwise,
a CPU as many workers as it has cores, and a machine with GPUs one for each.
"""

import os

from mmbench.threads import limits

MOST_WORKERS = 8
"""On a CPU, unasked; each holds the data and a model in memory."""
GPUS = "CUDA_VISIBLE_DEVICES"


def default_workers(device: str) -> int:
    """How many workers a search starts here, unasked."""
    if device == "cuda":
        return max(1, len(visible_gpus()))
    from mmbench.evaluation.hardware import cpu_quota_cores, usable_cores

    return max(1, min(int(cpu_quota_cores() or MOST_WORKERS), usable_cores(), MOST_WORKERS))


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` writes them."""
    given = os.environ.get(GPUS)
    if given is not None:
        return [gpu for gpu in given.split(",") if gpu not in ("", "-1", "NoDevFiles")]
    return [str(index) for index in range(_count())]


def worker_environment(number: int, threads: int) -> dict[str, str]:
    """What worker ``number`` sets before it imports any library that reads it at import.

    The GPUs go round: as many workers to each as to any other, or one more.
    """
    gpus = visible_gpus()
    placed = {GPUS: gpus[number % len(gpus)]} if gpus else {}
    return {**limits(threads), **placed}


def placement_line(device: str) -> str:
    """What a search will use on this machine, for ``mmbench doctor``."""
    workers = default_workers(device)
    count = f"{workers} worker{'' if workers == 1 else 's'}, 1 thread each"
    if device != "cuda":
        return count
    return f"{count}, on GPU {', '.join(visible_gpus())} in turn"


def _count() -> int:
    """By the driver's library, which starts nothing on the GPUs."""
    import pynvml

    try:
        pynvml.nvmlInit()
        try:
            return int(pynvml.nvmlDeviceGetCount())
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return 0
