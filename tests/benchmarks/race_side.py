"""One side of a race between the search and random search: a process, from a shared start.

``python race_side.py SIDE TASK SEED START SECONDS FOLDER`` writes ``FOLDER/curve.json``: a list of
[seconds since the start, score on validation], one for each trial that finished.

Both sides have the same space, training, features and cache, one core and one thread. ``random``
is what a loop around them would do: independent draws, each trained to its end, one by one.
"""

import json
import sys
import time
from pathlib import Path

import optuna

from mmbench.cli.options import TOGETHER
from mmbench.plugins import Plugins, load_plugins
from mmbench.resolve import resolve_dataset
from mmbench.search import worker
from mmbench.search.candidates import find_candidates
from mmbench.search.request import SearchRequest, study_name
from mmbench.search.storage import open_storage, turn_of
from mmbench.search.study import REQUEST, attempted, create_or_continue
from mmbench.spec import Component


def asked(task: str, seed: int, plugins: Plugins) -> SearchRequest:
    component = Component(task)
    _, dataset = resolve_dataset(component, plugins)
    return SearchRequest(component, find_candidates(dataset.task, plugins, "cpu"), "cpu", seed=seed)


def prepare(side: str, request: SearchRequest, url: str, plugins: Plugins) -> str:
    """The study's name; of random search it has nothing enqueued, no model of the space."""
    storage = open_storage(url)
    name = study_name(request, resolve_dataset(request.task, plugins)[1].version, plugins)
    if side == "mmbench":
        with turn_of(url, name):
            create_or_continue(name, request, storage, plugins)
        return name
    study = optuna.create_study(study_name=name, storage=storage, direction="maximize")
    study.set_user_attr(REQUEST, request.to_dict())
    worker._sampler = lambda request, trial, _: optuna.samplers.RandomSampler(
        seed=request.seed * 1_000_003 + trial
    )
    worker._pruner = lambda _: optuna.pruners.NopPruner()
    return name


def main(side: str, task: str, seed: int, start: float, seconds: float, folder: Path) -> None:
    plugins, url = load_plugins(), str(folder / "study.journal")
    _, dataset = resolve_dataset(Component(task), plugins)
    for part in ("train", "val"):
        dataset.load(part)  # generated and cached before the clock starts
    name = prepare(side, asked(task, seed, plugins), url, plugins)
    assert time.time() < start, "the machine was too slow to be ready in time"
    time.sleep(start - time.time())
    together = TOGETHER if side == "mmbench" else 1
    worker.work(name, url, worker.Budget(deadline=start + seconds), plugins, together=together)
    study = optuna.load_study(study_name=name, storage=open_storage(url))
    ended = {t.number: t.datetime_complete.timestamp() for t in study.trials if t.datetime_complete}
    curve = sorted(
        (ended[a.number] - start, a.score) for a in attempted(study) if a.state == "finished"
    )
    (folder / "curve.json").write_text(json.dumps(curve))


if __name__ == "__main__":
    side, task, seed, start, seconds, folder = sys.argv[1:]
    main(side, task, int(seed), float(start), float(seconds), Path(folder))
