"""Earlier studies, the newest first: where a new one may start from."""

from collections.abc import Iterator

import optuna

from mmbench.campaign.places import Places
from mmbench.errors import StorageError
from mmbench.search.storage import open_storage


def earlier_studies(places: Places, name: str, task: str | None = None) -> Iterator[optuna.Study]:
    """Studies other than ``name``, of ``task`` or of any; each is opened when it is asked for."""
    prefix = "" if task is None else f"{task}-"
    if places.storage is not None:
        storage = open_storage(places.storage)
        known = sorted(storage.get_all_studies(), key=lambda s: s._study_id, reverse=True)
        for study in known:
            if study.study_name.startswith(prefix) and study.study_name != name:
                yield optuna.load_study(study_name=study.study_name, storage=storage)
        return
    journals = [p for p in places.out.glob(f"{prefix}*/study.journal") if p.parent.name != name]
    for journal in sorted(journals, key=lambda p: p.stat().st_mtime, reverse=True):
        try:
            yield optuna.load_study(study_name=None, storage=open_storage(str(journal)))
        except (StorageError, ValueError, KeyError):
            continue  # of another program, or cut off while it was made: nothing to learn from
