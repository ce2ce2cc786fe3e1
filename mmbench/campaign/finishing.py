"""Phase two: workers train the chosen configurations on fresh seeds and score them on test."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.errors import SearchFailed
from mmbench.final import FAILURE, RESULT
from mmbench.search.jobs import begun, ended, held
from mmbench.search.pool import POLL_SECONDS, Pool

if TYPE_CHECKING:
    from mmbench.campaign.listener import Listener
    from mmbench.campaign.undertaking import Undertaking

Show = Callable[[int, int, int], None]
"""Told how many jobs are done, how many failed, of how many."""


def finish(undertaking: Undertaking, jobs: Sequence[Path]) -> None:
    """Run the jobs that have not ended; raise ``SearchFailed`` if not one comes to a result."""
    diagnoses = "--diagnoses" if undertaking.diagnose else "--no-diagnoses"
    work(undertaking, "--job", jobs, "finals", undertaking.listener.evaluating, [diagnoses])
    if not any((job / RESULT).exists() for job in jobs):
        raise SearchFailed(
            f"Every final evaluation failed; see {jobs[0].parent}.{_first_reason(jobs)}"
        )


def _first_reason(jobs: Sequence[Path]) -> str:
    found = next((job / FAILURE for job in jobs if (job / FAILURE).exists()), None)
    if found is None:
        return ""
    return f" The first failure: {json.loads(found.read_text())['error'].strip().splitlines()[-1]}"


def work(
    undertaking: Undertaking,
    option: str,
    jobs: Sequence[Path],
    phase: str,
    show: Show,
    options: Sequence[str] = (),
) -> None:
    """Let workers do the jobs that have not ended, and tell of those that failed.

    What another process has under way is waited for, and done here if that process dies. Workers
    that die are followed by others as long as that leads on.
    """
    arguments = ["--device", undertaking.device, *options]
    arguments += ["--together", str(undertaking.crew.together)]
    for job in jobs:
        arguments += [option, str(job)]
    while not all(ended(job) for job in jobs):
        before = _standing(jobs)
        _run(undertaking.pool(arguments, phase).start(), undertaking.listener, show, jobs)
        elsewhere = [job for job in jobs if not ended(job) and held(job)]
        if elsewhere:
            undertaking.listener.note(f"waiting for {len(elsewhere)} trainings of another process")
        elif _standing(jobs) == before:
            break
        while any(held(job) for job in elsewhere):
            _show(show, jobs)
            time.sleep(POLL_SECONDS)
    _show(show, jobs)
    for job in jobs:
        if (job / FAILURE).exists():
            undertaking.listener.note(f"a training failed: {job / FAILURE}")


def _run(pool: Pool, listener: Listener, show: Show, jobs: Sequence[Path]) -> None:
    """Workers until they have nothing left that is free."""
    try:
        while pool.alive():
            _show(show, jobs)
            time.sleep(POLL_SECONDS)
    finally:
        pool.stop()
    for warning in pool.warnings():
        listener.note(warning)


def _standing(jobs: Sequence[Path]) -> tuple[int, int]:
    """How many have ended, and how often any was begun."""
    return sum(ended(job) for job in jobs), sum(begun(job) for job in jobs)


def _show(show: Show, jobs: Sequence[Path]) -> None:
    failed = sum((job / FAILURE).exists() for job in jobs)
    done = sum(ended(job) for job in jobs) - failed
    show(done, failed, len(jobs))
