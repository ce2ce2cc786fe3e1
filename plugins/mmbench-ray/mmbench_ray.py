"""``mmbench ray``: the workers of a search on a Ray cluster (Moritz et al., OSDI 2018).

Each is the ordinary ``mmbench worker``, run by a Ray task that reserves CPUs and a part of a GPU.
One whose process, Ray worker or node dies is placed again; its trial goes to another by mmbench's
own leases. Ray sets ``CUDA_VISIBLE_DEVICES``, so workers that share a GPU need not know.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from mmbench.api import MMBenchError, hookimpl

MAX_RESTARTS = 8
"""Of all workers together: what dies more often than that will not get better."""
GRACE_SECONDS = 30.0
USAGE_ERROR = 2
"""The exit code of mmbench for what another try cannot mend."""


class WorkersFailed(MMBenchError):
    """Workers on the cluster ended with an error, or died too often."""


@dataclass
class Fleet:
    """Workers on a cluster that this process is connected to."""

    arguments: Sequence[str]
    """What each ``mmbench worker`` is told."""
    cpus: float
    gpus: float
    restarts: int = 0
    tasks: dict[Any, int] = field(default_factory=dict)
    """The number of the worker that each running task is."""

    def run(self, workers: int) -> None:
        """Until every worker has ended by itself. Raises ``WorkersFailed``."""
        import ray

        for number in range(workers):
            self._place(number)
        try:
            while self.tasks:
                (task,), _ = ray.wait(list(self.tasks), num_returns=1)
                self._ended(task, self.tasks.pop(task))
        finally:
            self._stop()

    def _place(self, number: int) -> None:
        import ray

        remote = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=0)(run_worker)
        self.tasks[remote.remote([*self.arguments, "--number", str(number)])] = number

    def _ended(self, task: Any, number: int) -> None:
        import ray

        try:
            code, words = ray.get(task)
        except ray.exceptions.RayError as error:  # its Ray worker died, or the node did
            code, words = -1, str(error).strip().splitlines()[0]
        if code == 0:
            typer.echo(f"worker {number}: {words}")
            return
        if code == USAGE_ERROR or self.restarts >= MAX_RESTARTS:
            raise WorkersFailed(
                f"Worker {number} ended with code {code} after {self.restarts} restarts: {words}"
            )
        self.restarts += 1
        typer.echo(f"worker {number} died ({words or code}); it is started again")
        self._place(number)

    def _stop(self) -> None:
        """Ask what still runs to hand back its trial, as when Ctrl-C ends this."""
        import ray

        for task in self.tasks:
            ray.cancel(task)
        if self.tasks:
            ray.wait(list(self.tasks), num_returns=len(self.tasks), timeout=2 * GRACE_SECONDS)


def run_worker(arguments: Sequence[str]) -> tuple[int, str]:
    """One worker on a node of the cluster: its exit code and its last line.

    It is a process of its own, which handles signals and may be killed alone. If this task is gone
    it stops by itself (``--parent``); a task that is cancelled (a ``KeyboardInterrupt``) stops it.
    """
    command = [  # -P: nothing is imported from the folder that Ray runs in
        sys.executable, "-P", "-m", "mmbench", "worker", *arguments, "--parent", str(os.getpid()),
    ]  # fmt: skip
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            while process.poll() is None:  # Ray interrupts Python code only, no blocking wait
                time.sleep(0.2)
        except BaseException:
            process.terminate()
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:  # in the middle of a long call: its lease ends
                process.kill()
                process.wait()
            raise
        log.seek(0)
        lines = log.read().strip().splitlines()
    return process.returncode, lines[-1] if lines else ""


def place(
    storage: Annotated[
        str, typer.Option(envvar="MMBENCH_STORAGE", help="The study's storage, seen by all nodes.")
    ],
    study: Annotated[str | None, typer.Option(help="The study, if there are several.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="How many workers.")] = 2,
    cpus: Annotated[float, typer.Option(min=0, help="CPUs for each.")] = 1.0,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs for each; 0.25: four share one.")] = 0.0,
    trials: Annotated[int | None, typer.Option(min=1, help="Stop at this many in all.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0, help="Stop after these seconds.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads for each.")] = 1,
    address: Annotated[
        str | None, typer.Option(help="The cluster: auto, HOST:PORT; unsaid: one on this machine.")
    ] = None,
) -> None:
    """Place the workers of a study on a Ray cluster; those that die are placed again."""
    import ray

    if gpus > 1 and not gpus.is_integer():
        raise WorkersFailed(
            f"--gpus {gpus:g}: Ray gives a worker a part of one GPU or whole ones, as 0.5 or 2."
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # report nothing unasked
    arguments = ["--storage", storage, "--threads", str(threads)]
    arguments += ["--study", study] if study else []
    arguments += ["--trials", str(trials)] if trials else []
    arguments += ["--deadline", str(time.time() + timeout)] if timeout else []
    try:
        ray.init(
            address, logging_level="warning", include_dashboard=False if address is None else None
        )
    except (ConnectionError, ValueError) as error:  # nobody there, or no address at all
        raise WorkersFailed(f"There is no Ray cluster at {address}: {error}") from None
    there = ray.cluster_resources()
    typer.echo(f"Ray has {there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs; ", nl=False)
    typer.echo(f"{workers} workers of {cpus:g} CPUs and {gpus:g} GPUs each")
    try:
        Fleet(arguments, cpus, gpus).run(workers)
    finally:
        ray.shutdown()


@hookimpl
def register_commands(app: typer.Typer) -> None:
    app.command("ray")(place)
