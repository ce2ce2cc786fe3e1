"""Jobs: one specification to train, each in a folder of its own.

A worker takes a job by locking its folder, and a lock dies with its process. So any number of
workers share the work, and what is done stays done. Jobs of one structure are taken and trained
together. One that its worker died of is tried once more, alone; dying of it again is its failure.
"""

import json
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from mmbench.errors import MMBenchError, StorageError
from mmbench.files import write_whole
from mmbench.final import FAILURE, RESULT, SPEC
from mmbench.plugins import Plugins
from mmbench.resolve import resolve
from mmbench.search.attempt import Stopped
from mmbench.search.study import FATAL
from mmbench.spec import TrialSpec, spec_from_json
from mmbench.together import structure

BEGUN = "begun"
"""The file that counts how often a job was begun."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job under way, of which others in its group know nothing."""

    folder: Path
    spec: TrialSpec
    began: float = field(default_factory=time.perf_counter)

    def failed(self, error: Exception) -> None:
        """One configuration that fails must not stop the others."""
        told = "".join(traceback.format_exception(error))
        _fail(self.folder, told, time.perf_counter() - self.began)


Run = Callable[[Sequence[Job]], None]
"""Does jobs of one structure: each leaves ``result.json`` as its last act, or has ``failed``."""


def write_jobs(folder: Path, specs: Sequence[TrialSpec]) -> list[Path]:
    """One folder for each spec; failures of an earlier run are tried again."""
    jobs = []
    for spec in specs:
        job = folder / spec.id
        job.mkdir(parents=True, exist_ok=True)
        for name in (FAILURE, BEGUN):
            (job / name).unlink(missing_ok=True)
        write_whole(job / SPEC, json.dumps(spec.to_dict(), indent=2))  # its data may have moved
        jobs.append(job)
    return jobs


def work_on_jobs(
    folders: Sequence[Path],
    run: Run,
    should_stop: Callable[[], bool],
    plugins: Plugins,
    together: int,
) -> None:
    """Take jobs, up to ``together`` of one structure, until none is left that nobody else has."""
    try:
        for group in groups(folders, plugins, together):
            if should_stop():
                return
            with ExitStack() as locks:
                alone = len(group) == 1
                specs = {f: _spec(f) for f in group}
                mine = [Job(f, specs[f]) for f in group if _taken(f, locks, alone=alone)]
                if mine:
                    _run(run, mine)
    except Stopped:
        return


def _run(run: Run, jobs: Sequence[Job]) -> None:
    """Whoever is asked to stop has not died of them."""
    try:
        run(jobs)
    except Stopped:
        for job in jobs:
            (job.folder / BEGUN).unlink(missing_ok=True)
        raise


def groups(folders: Iterable[Path], plugins: Plugins, most: int) -> list[list[Path]]:
    """Those not yet ended, that can train together side by side; the first of each in order.

    Who may have killed a worker is alone, so that none of the others dies with it.
    """
    found: dict[str, list[Path]] = {}
    for folder in folders:
        if not ended(folder):
            found.setdefault(_structure(folder, plugins), []).append(folder)
    return [
        same[first : first + most] for same in found.values() for first in range(0, len(same), most)
    ]


def _structure(folder: Path, plugins: Plugins) -> str:
    if begun(folder):
        return folder.name
    try:
        return structure(resolve(_spec(folder), plugins)) or folder.name
    except MMBenchError:  # it will be said when it is its turn
        return folder.name


def _spec(folder: Path) -> TrialSpec:
    try:
        return spec_from_json((folder / SPEC).read_text())
    except OSError as error:
        raise StorageError(
            f"There is no job in {folder}: {SPEC} cannot be read ({error.strerror}). A search or a "
            "comparison makes jobs and starts their workers itself."
        ) from error


def _taken(folder: Path, locks: ExitStack, *, alone: bool) -> bool:
    """Whether it is ours now: nobody else has it, and it has not ended."""
    try:
        locks.enter_context(FileLock(folder / "lock", timeout=0))
    except Timeout:
        return False
    deaths = begun(folder)
    if ended(folder) or (deaths and not alone):
        return False
    if deaths >= FATAL:
        _fail(folder, f"its worker died {deaths} times of it: killed, perhaps for its memory", 0.0)
        return False
    write_whole(folder / BEGUN, str(deaths + 1))
    return True


def begun(folder: Path) -> int:
    """How often it was begun; where it is not under way, as often its worker died of it."""
    try:
        return int((folder / BEGUN).read_text())
    except FileNotFoundError:
        return 0


def _fail(folder: Path, error: str, seconds: float) -> None:
    (folder / FAILURE).write_text(json.dumps({"error": error, "seconds": seconds}, indent=2))


def held(folder: Path) -> bool:
    """Whether another process has it under way."""
    try:
        with FileLock(folder / "lock", timeout=0):
            return False
    except Timeout:
        return True


def ended(job: Path) -> bool:
    return (job / RESULT).exists() or (job / FAILURE).exists()
