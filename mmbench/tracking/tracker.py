"""The way into MLflow: experiments, searches, final evaluations, and reading them back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.errors import StorageError
from mmbench.tracking import final, store
from mmbench.tracking.query import FINAL, STUDY, fetch, read_row, search
from mmbench.tracking.records import log
from mmbench.tracking.search_run import SearchRun

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

PREFIX = "mmbench/"
COLUMNS = ("run_id", "task", "row_id", "created", "study", "artifact_uri")


class Tracker:
    """A store of runs: ``uri`` the database or server, ``artifacts`` the folder of their files.

    Cheap to construct; MLflow is imported, and the database made, by the first method called.
    """

    def __init__(self, uri: str, artifacts: Path) -> None:
        self.uri, self.artifacts = uri, artifacts.resolve()

    def experiment(self, task: str) -> str:
        """The id of ``mmbench/<task>``; makes the database and the experiment if need be."""
        with store.storage(self.uri):
            self._make_folders()
            with store.write_lock(self.uri, self.artifacts):
                store.create(self.uri)
                return self._experiment(task)

    def search_run(
        self, task: str, study: str, request: Mapping[str, Any], environment: Mapping[str, Any]
    ) -> SearchRun:
        """The run of a search; the same one when the same study continues."""
        experiment = self.experiment(task)
        with store.storage(self.uri), store.write_lock(self.uri, self.artifacts):
            runs = search(
                self._client,
                [experiment],
                f"tags.`mmbench.study` = '{study}' AND tags.`mmbench.kind` = 'search'",
            )
            tags = {"mmbench.study": study, "mmbench.kind": "search", "mmbench.task": task}
            run = runs[0] if runs else self._client.create_run(experiment, None, tags, study)
            self._client.update_run(run.info.run_id, status="RUNNING")
            request_tags = {f"request.{name}": value for name, value in request.items()}
            log(self._client, run.info.run_id, {}, (), {}, request_tags)
            self._client.log_dict(run.info.run_id, dict(environment), "environment.json")
        return SearchRun(self._client, self.uri, self.artifacts, experiment, run.info.run_id)

    def log_final(self, task: str, evaluation: final.Evaluated) -> str:
        """The id of a run with everything of one final evaluation.

        Logging an equal row again returns the run it has.
        """
        experiment = self.experiment(task)
        with store.storage(self.uri), store.write_lock(self.uri, self.artifacts):
            known = final.find(self._client, experiment, evaluation.row)
            return known or final.write(self._client, experiment, evaluation)

    def final_runs(self, task: str | None = None) -> pd.DataFrame:
        """Every complete final run, oldest first, with the columns that are ``COLUMNS``.

        ``study`` is empty outside of a search, and None where an older mmbench did not say.
        Raises ``StorageError`` if the store is not there, cannot be read or holds none.
        """
        import pandas as pd

        store.check_exists(self.uri)
        with store.storage(self.uri):
            store.check_readable(self.uri)
            experiments = self._experiments(task)
            runs = search(self._client, list(experiments), FINAL)
        records = [
            {
                "run_id": run.info.run_id,
                "task": experiments[run.info.experiment_id],
                "row_id": run.data.tags["mmbench.row"],
                "created": run.data.tags["mmbench.created"],
                "study": run.data.tags.get(STUDY),
                "artifact_uri": run.info.artifact_uri,
            }
            for run in runs
        ]
        if not records:
            of = f" of {task}" if task else ""
            raise StorageError(
                f"The MLflow store {store.database(self.uri) or self.uri} holds no final "
                f"evaluation{of}. `mmbench search --task {task or 'vqa'}` makes some."
            )
        return pd.DataFrame(records, columns=list(COLUMNS))

    def rows_of(
        self, frame: pd.DataFrame
    ) -> tuple[dict[str, tuple[dict[str, Any], Path | None]], list[str]]:
        """By run: its row and the folder of its predictions; then the problems.

        Where a row was evaluated more than once, the newest that a search found: outside of one
        nothing was searched, and a row has no gain. A run whose row cannot be read is named with
        the reason; the others are still read.
        """
        searched_last = frame.iloc[(frame["study"] != "").argsort(kind="stable")]
        kept = searched_last.drop_duplicates(["task", "row_id"], keep="last").sort_index()
        rows, problems = {}, []
        for run_id in kept["run_id"]:
            try:
                rows[str(run_id)] = self.row_of(run_id)
            except StorageError as error:
                problems.append(str(error))
        return rows, problems

    def run_tags(self, run_id: str) -> dict[str, str]:
        """What is known of any run: ``mmbench.kind`` is search, trial or final."""
        store.check_exists(self.uri)
        with store.storage(self.uri):
            store.check_readable(self.uri)
            return dict(self._client.get_run(run_id).data.tags)

    def row_of(self, run_id: str) -> tuple[dict[str, Any], Path | None]:
        """The row of a final run, and the folder of its predictions, if it has any."""
        with store.storage(self.uri):
            uri = str(self._client.get_run(run_id).info.artifact_uri)
            place = (self._client, run_id, uri, self.artifacts)
            row = read_row(*place)
            kept = row.get("predictions")
            return row, fetch(*place, kept["file"]).parent if kept else None

    @cached_property
    def _client(self) -> MlflowClient:
        return store.client(self.uri)

    def _make_folders(self) -> None:
        self.artifacts.mkdir(parents=True, exist_ok=True)
        if path := store.database(self.uri):
            path.parent.mkdir(parents=True, exist_ok=True)

    def _experiment(self, task: str) -> str:
        name = PREFIX + task
        found: Experiment | None = self._client.get_experiment_by_name(name)
        if found is None:
            place = (self.artifacts / task).as_uri()
            return str(self._client.create_experiment(name, artifact_location=place))
        if found.lifecycle_stage != "active":
            self._client.restore_experiment(found.experiment_id)
        store.put_artifacts(self.uri, str(found.experiment_id), self.artifacts / task)
        return str(found.experiment_id)

    def _experiments(self, task: str | None) -> dict[str, str]:
        """Experiment ids to tasks."""
        found: Iterable[Experiment] = self._client.search_experiments(
            filter_string=f"name LIKE '{PREFIX}%'"
        )
        tasks = {str(e.experiment_id): str(e.name).removeprefix(PREFIX) for e in found}
        return {e: name for e, name in tasks.items() if task in (None, name)}
