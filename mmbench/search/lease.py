"""A trial belongs to its worker for as long as that shows signs of life; then to the next.

Optuna's heartbeats work with a database and its own loop only. Here a worker signs a trial with
who it is and a beat that it counts up while it runs. Whoever shares the study sees at once that a
process of this machine is gone; of any other it knows when the beat has stood still for a while by
its own clock, so clocks of two machines are never compared.
"""

import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import optuna
import psutil
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial

WORKER = "worker"
BEAT_SECONDS = 10.0
LEASE_SECONDS = 60.0
"""How long a beat may stand still: several are missed before a worker counts as dead."""

BOOT, PROCESSES = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


def worker_identity() -> dict[str, Any]:
    """Who runs a trial, so that another process can tell whether it still lives."""
    me = psutil.Process()
    return {"host": this_machine(), "pid": me.pid, "started": _started(me)}


def _started(process: psutil.Process) -> float:
    """In seconds since the machine was: a clock that is set meanwhile moves both."""
    since_boot: float = process.create_time() - psutil.boot_time()
    return since_boot


def this_machine() -> str:
    """The host, since it was started, and the space of its process numbers.

    Containers may share a host's name, and so may copies of a virtual machine.
    """
    known = [socket.gethostname()]
    with suppress(OSError):  # not Linux, or hidden
        known.append(BOOT.read_text().strip())
    with suppress(OSError):
        known.append(str(PROCESSES.readlink()))
    return " ".join(known)


class Lease:
    """Signs of life for the trials that this process runs, from a thread, while it is entered."""

    def __init__(self, trials: Sequence[optuna.Trial], every: float = BEAT_SECONDS) -> None:
        self._trials, self._every = trials, every
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _beat(self) -> None:
        me, beat = worker_identity(), 0
        while not self._done.wait(self._every):
            beat += 1
            for trial in self._trials:
                # one that ended needs no beat; a storage that is away may be back for the next
                with suppress(UpdateFinishedTrialError, StorageInternalError, OSError):
                    trial.set_user_attr(WORKER, {**me, "beat": beat})


@dataclass(slots=True)
class Watch:
    """What one process knows of the life of the workers of running trials."""

    lease_seconds: float = LEASE_SECONDS
    _seen: dict[int, tuple[dict[str, Any], float]] = field(default_factory=dict)
    """By trial: its signature, and when it was first seen so."""

    def is_dead(self, trial: FrozenTrial) -> bool:
        """Whether a running trial has lost its worker.

        Taking and signing are one turn: who looks in a turn sees no signature only of a dead one.
        """
        signature = trial.user_attrs.get(WORKER)
        if signature is None or _is_gone(signature):
            return True
        return self._stands_still(trial.number, signature)

    def _stands_still(self, number: int, signature: dict[str, Any]) -> bool:
        now = time.monotonic()
        if number not in self._seen or self._seen[number][0] != signature:
            self._seen[number] = signature, now
        return now - self._seen[number][1] > self.lease_seconds


def _is_gone(signature: dict[str, Any]) -> bool:
    """Whether the process that signed was one of this machine and is no more."""
    if signature["host"] != this_machine():
        return False
    try:
        process = psutil.Process(signature["pid"])
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        return abs(_started(process) - float(signature["started"])) > 1  # its number came again
    except psutil.NoSuchProcess:
        return True
