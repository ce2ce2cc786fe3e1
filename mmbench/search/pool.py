"""Worker processes of this machine: started, watched, replaced when they die, stopped."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

GRACE_SECONDS = 30.0
POLL_SECONDS = 0.5
"""Between two looks at the workers."""
MAX_RESTARTS = 8
"""Without anything done meanwhile."""
WARNING = "warning: "
"""How a worker's log marks what the user should hear of."""


@dataclass
class Pool:
    """``n`` processes of one ``mmbench`` command; each gets its own number and log file.

    A worker that dies (killed for memory, say) is started again, as long as that leads on; its
    trial is taken up by whoever recovers the study next.
    """

    arguments: Sequence[str]
    n: int
    threads: int
    logs: Path
    old: dict[Path, int] = field(default_factory=dict)
    """Bytes of each log that workers of earlier pools have written: the same search, gone on."""
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    died: list[int] = field(default_factory=list)
    """The exit codes of workers that did not end by themselves."""
    restarts: int = 0
    """How many were started again; whoever sees that they have done something sets it to 0."""

    def start(self) -> "Pool":
        self.logs.mkdir(parents=True, exist_ok=True)
        self.old = {log: log.stat().st_size for log in self._logs()}
        for number in range(self.n):
            self._start(number)
        return self

    def _start(self, number: int) -> None:
        command = [  # -P: what lies in the user's folder, such as a random.py, is not imported
            sys.executable, "-P", "-m", "mmbench", "worker", *self.arguments,
            "--number", str(number), "--threads", str(self.threads), "--parent", str(os.getpid()),
        ]  # fmt: skip
        with (self.logs / f"worker-{number}.log").open("ab") as log:
            self.processes[number] = subprocess.Popen(  # a session of its own: Ctrl-C is ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def alive(self) -> bool:
        """Whether any worker still runs; those that died are started again first."""
        for number, process in list(self.processes.items()):
            code = process.poll()
            if code is None:
                continue
            del self.processes[number]
            if code != 0:
                self.died.append(code)
                if self.restarts < MAX_RESTARTS:
                    self.restarts += 1
                    self._start(number)
        return bool(self.processes)

    def stop(self) -> None:
        """Ask all workers to end after the step under way; kill those that do not in time."""
        for process in self.processes.values():
            process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for process in self.processes.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def warnings(self) -> list[str]:
        """What the workers warned of, each thing once."""
        lines = [
            line.removeprefix(WARNING)
            for log in sorted(self._logs())
            for line in self._said(log).splitlines()
            if line.startswith(WARNING)
        ]
        return list(dict.fromkeys(lines))

    def last_words(self) -> str:
        """The end of the log of a worker that died, for an error message."""
        logs = sorted(self._logs(), key=lambda p: p.stat().st_mtime)
        text = self._said(logs[-1]).strip() if logs else ""
        return "\n".join(text.splitlines()[-8:])

    def _logs(self) -> list[Path]:
        return list(self.logs.glob("worker-*.log"))

    def _said(self, log: Path) -> str:
        """What was added to a log by these workers."""
        return log.read_bytes()[self.old.get(log, 0) :].decode(errors="replace")
