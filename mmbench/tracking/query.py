"""Reading runs back: page after page, and a final run's row from its artifacts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from mmbench.errors import StorageError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PAGE = 1000
FINAL = "tags.`mmbench.kind` = 'final' AND attributes.status = 'FINISHED'"
STUDY = "mmbench.study"
"""The tag that names a run's study: empty where a row was evaluated outside of a search."""


def search(client: MlflowClient, experiments: Sequence[str], query: str) -> list[Run]:
    """All runs that match, oldest first."""
    runs: list[Run] = []
    token: str | None = None
    while experiments:
        page = client.search_runs(
            list(experiments),
            filter_string=query,
            max_results=PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        runs += page
        if not (token := page.token):
            break
    return runs


def local_folder(uri: str, artifacts: Path) -> Path | None:
    """Where a run's artifacts lie on this machine, also after the whole store was moved.

    MLflow records an absolute address; in a store that was moved, the same folders lie under its
    new ``artifacts``. None if they are at neither place.
    """
    recorded = Path(url2pathname(urlparse(uri).path))
    moved = artifacts.joinpath(*recorded.parts[-3:])  # <task>/<run>/artifacts
    return next((place for place in (recorded, moved) if place.is_dir()), None)


def fetch(client: MlflowClient, run_id: str, uri: str, artifacts: Path, name: str) -> Path:
    """One file of a final run, on this machine; ``StorageError`` if its folder is gone."""
    if not uri.startswith(("file:", "/")):
        return Path(client.download_artifacts(run_id, name))
    if (folder := local_folder(uri, artifacts)) is None:
        raise StorageError(
            f"Run {run_id}: its files are not at {uri}. If the store was moved, give the "
            "folder where they lie now; otherwise delete the run in `mmbench ui`."
        )
    return folder / name


def read_row(client: MlflowClient, run_id: str, uri: str, artifacts: Path) -> dict[str, Any]:
    """The ``row.json`` of a final run; ``StorageError`` says why it cannot be read."""
    path = fetch(client, run_id, uri, artifacts, "row.json")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"Run {run_id}: {path} cannot be read: {error}.") from None
    if not isinstance(data, dict):
        raise StorageError(f"Run {run_id}: {path} is not a JSON object.")
    return data
