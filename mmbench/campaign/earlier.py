"""Earlier studies of a task, the newest first: where a new one may start from."""

from collections.abc import Iterator

import optuna

from mmbench.campaign.places import Places
from mmbench.errors import StorageError
from mmbench.search.storage import open_storage


def earlier_studies(places: Places, task: str, name: str) -> Iterator[optuna.Study]:
    """Studies of ``task`` other than ``name``; each is opened only when it is asked for."""
    if places.storage is not None:
        storage = open_storage(places.storage)
        known = sorted(storage.get_all_studies(), key=lambda s: s._study_id, reverse=True)
        for study in known:
            if study.study_name.startswith(f"{task}-") and study.study_name != name:
                yield optuna.load_study(study_name=study.study_name, storage=storage)
        return
    journals = [p for p in places.out.glob(f"{task}-*/study.journal") if p.parent.name != name]
    for journal in sorted(journals, key=lambda p: p.stat().st_mtime, reverse=True):
        try:
            yield optuna.load_study(study_name=None, storage=open_storage(str(journal)))
        except (StorageError, ValueError, KeyError):
            continue  # of another program, or cut off while it was made: nothing to learn from
