"""``mmbench worker``: one process of a search, on this machine or another."""

import os
from pathlib import Path
from typing import Annotated

import typer

from mmbench.cli.options import TOGETHER, Diagnoses, Storage, Together
from mmbench.errors import InvalidParameter


def worker(
    study: Annotated[
        str | None,
        typer.Option(help="The study to take trials from; needless if the storage has just one."),
    ] = None,
    storage: Storage = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Stop at this many in all.")] = None,
    deadline: Annotated[float | None, typer.Option(help="Stop at this Unix time.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0, help="Stop after these seconds.")] = None,
    job: Annotated[
        list[Path] | None, typer.Option(help="A final evaluation to run instead; may be repeated.")
    ] = None,
    tune: Annotated[
        list[Path] | None, typer.Option(help="A training to score on validation; may be repeated.")
    ] = None,
    device: Annotated[str, typer.Option(help="For --job and --tune: auto, cpu or cuda.")] = "auto",
    diagnoses: Diagnoses = True,
    number: Annotated[
        int, typer.Option(min=0, help="Its number on this machine: the GPUs go round by it.")
    ] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    together: Together = TOGETHER,
    parent: Annotated[
        int | None, typer.Option(hidden=True, help="Stop when this process is gone.")
    ] = None,
) -> None:
    """Take trials from a study until its budget is spent; any number of workers may share one.

    SIGTERM or Ctrl-C: it ends after the step under way and hands its trial back.
    """
    import logging
    import time

    from mmbench.search.placement import worker_environment

    os.environ.update(worker_environment(number, threads))
    from mmbench.plugins import load_plugins
    from mmbench.search.pool import WARNING
    from mmbench.search.worker import Budget, Stop, work

    logging.basicConfig(format=f"{WARNING}%(message)s", level=logging.WARNING)
    if timeout is not None:
        deadline = min(time.time() + timeout, deadline or float("inf"))
    budget, plugins = Budget(trials, deadline), load_plugins()
    if job or tune:
        import torch

        from mmbench.comparison.tuning import tune as tuning
        from mmbench.search.finals import evaluate
        from mmbench.search.jobs import work_on_jobs
        from mmbench.trial import Workbench, device_named

        torch.set_num_threads(threads)
        stop = Stop(budget, parent)
        bench = Workbench(device_named(device), between_steps=stop.heed)
        work_on_jobs(tune or [], tuning(plugins, bench), stop, plugins, together)
        finals = evaluate(plugins, bench, diagnose=diagnoses)
        work_on_jobs(job or [], finals, stop, plugins, together)
        return
    if storage is None:
        raise InvalidParameter(
            "A worker needs --storage: what `mmbench search` had for --storage, or its default, "
            "runs/<study>/study.journal. `mmbench search --prepare` prints the whole command."
        )
    if study is None:
        from mmbench.search.storage import only_study, open_storage

        study = only_study(open_storage(storage, new=False))
    ends = work(study, storage, budget, plugins, threads=threads, together=together, parent=parent)
    typer.echo(", ".join(f"{n} {state}" for state, n in sorted(ends.items())) or "no trial left")
