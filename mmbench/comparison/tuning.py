"""Tuning trials: configurations trained and scored on validation. The test part stays away."""

import json
from collections.abc import Sequence
from functools import partial

from mmbench.contracts import count_parameters
from mmbench.files import write_whole
from mmbench.final import RESULT
from mmbench.plugins import Plugins
from mmbench.search.jobs import Job, Run
from mmbench.together import Wanted, train_together
from mmbench.trial import Trained, Workbench


def tune(plugins: Plugins, bench: Workbench) -> Run:
    """What jobs of the tuning phase do."""

    def run(jobs: Sequence[Job]) -> None:
        wanted = [Wanted(job.spec, partial(_keep, job)) for job in jobs]
        train_together(wanted, plugins, bench)

    return run


def _keep(job: Job, end: Trained | Exception) -> None:
    if isinstance(end, Exception):
        job.failed(end)
        return
    document = {
        "value": end.fitted.score,
        "best_epoch": end.fitted.best_epoch,
        "seconds": end.fitted.seconds,
        "curve": end.fitted.curve,
        "parameters": count_parameters(end.model),
    }
    write_whole(job.folder / RESULT, json.dumps(document, indent=2))
