"""One request, from its first trial to its board: the straight line of the main job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mmbench.campaign.concluding import Conclusion
from mmbench.campaign.finishing import finish
from mmbench.campaign.listener import Listener
from mmbench.campaign.places import Crew, Places
from mmbench.campaign.searching import search
from mmbench.final import SeedResult
from mmbench.leaderboard.render import write_board
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.row_files import read_rows, write_row
from mmbench.plugins import Plugins
from mmbench.resolve import resolve_dataset
from mmbench.search.finals import chosen, results
from mmbench.search.inheritance import INHERITED
from mmbench.search.jobs import write_jobs
from mmbench.search.pool import Pool
from mmbench.search.request import SearchRequest, study_name
from mmbench.search.storage import within_reach
from mmbench.search.study import attempted, request_of, spent, trials_of_families
from mmbench.search.worker import Budget
from mmbench.seeds import fresh_seeds
from mmbench.spec import Component
from mmbench.tracking import Tracker

if TYPE_CHECKING:
    import optuna


@dataclass
class Campaign:
    """What is asked, with which means, and where it goes.

    Every step keeps what it has done, so that the same campaign, run again, continues.
    """

    request: SearchRequest
    budget: Budget
    places: Places
    crew: Crew
    plugins: Plugins
    listener: Listener
    top_k: int = 3
    seeds: int = 3
    diagnose: bool = True
    name: str = field(init=False)
    tracker: Tracker = field(init=False)

    def __post_init__(self) -> None:
        _, dataset = resolve_dataset(self.request.task, self.plugins)
        self.name = study_name(self.request, dataset.version, self.plugins)
        self.tracker = Tracker(self.places.tracking_uri, self.places.out / "artifacts")

    def run(self) -> list[Row]:
        """The whole job; the rows it made, references included."""
        self.places.check()
        with within_reach(self.places.storage_url(self.name)):  # after it nobody asks the study
            study = search(self)
            specs = chosen(study, self.request, self.top_k, self.plugins)
            summary, own = self._summary(study), trials_of_families(study)
        seeded = [s.with_seed(n) for n in fresh_seeds(self.seeds, self.request.seed) for s in specs]
        jobs = write_jobs(self.places.finals(self.name), seeded)
        finish(self, jobs)
        families = results(jobs)
        rows = Conclusion(self, summary, own).rows(families)
        self._write(rows, families)
        return rows

    def _write(self, rows: list[Row], families: Mapping[str, list[SeedResult]]) -> None:
        """Rows beside those of earlier searches, and the board of them all."""
        for row in rows:
            write_row(self.places.boards, row, families[row.id][0].folder)
        board, problems = read_rows(self.places.boards / self.request.task.name)
        for problem in problems:
            self.listener.note(problem)
        write_board(self.places.boards, board)

    @property
    def task(self) -> Component:
        return self.request.task

    @property
    def device(self) -> str:
        return self.request.device

    def _summary(self, study: optuna.Study) -> dict[str, Any]:
        """What the reader should know of the search behind a row: all its trials, its limits."""
        done, request = attempted(study), request_of(study)
        counts: Counter[str] = Counter(a.state for a in done)  # those of an earlier study too
        inherited = study.user_attrs.get(INHERITED)
        return {
            "study": self.name,
            "seed": request.seed,
            "trials": spent(counts),
            **{state: counts[state] for state in ("finished", "pruned", "violated", "failed")},
            "history": [attempt.brief() for attempt in done],
            **({"inherited": inherited} if inherited else {}),
            "device": request.device,
            "workers": self.crew.workers,
            "max_latency_ms": request.max_latency_ms,
            "max_memory_mib": request.max_memory_mib,
            "max_parameters": request.max_parameters,
            "warm_start": [{k: e[k] for k in ("study", "trial")} for e in request.earlier],
        }

    def pool(self, arguments: Sequence[str], phase: str) -> Pool:
        """Workers of this machine for one phase, not yet started."""
        logs = self.places.study(self.name) / "logs" / phase
        return Pool(arguments, self.crew.workers, self.crew.threads, logs)
