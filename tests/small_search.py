"""A search small enough for tests, and a look at the study it left behind."""

from pathlib import Path

import optuna

from mmbench.plugins import Plugins
from mmbench.resolve import resolve_dataset
from mmbench.search.request import SearchRequest, study_name
from mmbench.search.storage import open_storage
from mmbench.search.study import Attempted, attempted

SEARCH = [
    "search", "--task", "synergy", "--set", "task.size=300", "--set", "train.max_epochs=3",
    "--fusion", "product,concat", "--encoder", "mlp", "--timeout", "0",
]  # fmt: skip


def name_of(request: SearchRequest, plugins: Plugins) -> str:
    """What a search calls its study: workers take no trial of another."""
    return study_name(request, resolve_dataset(request.task, plugins)[1].version, plugins)


def study_in(home: Path) -> list[Attempted]:
    (journal,) = home.glob("runs/*/study.journal")
    return attempted(optuna.load_study(study_name=None, storage=open_storage(str(journal))))
