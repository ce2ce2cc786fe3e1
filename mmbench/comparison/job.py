"""One comparison, from equal tuning to the page that shows it; read this first.

equal tuning on validation → the best of each → fresh seeds on test → cost → verdicts → page
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmbench.campaign.concluding import Conclusion
from mmbench.campaign.finishing import finish, work
from mmbench.campaign.listener import Listener
from mmbench.campaign.places import Crew, Places
from mmbench.comparison.contestants import (
    ComparisonRequest,
    Contestant,
    comparison_name,
    tuning_specs,
)
from mmbench.comparison.verdicts import Verdict, judge
from mmbench.errors import SearchFailed
from mmbench.evaluation.environment import environment
from mmbench.final import FAILURE, RESULT, SeedResult
from mmbench.leaderboard.row import Row
from mmbench.plugins import Plugins
from mmbench.resolve import resolve_dataset
from mmbench.search.finals import results
from mmbench.search.jobs import write_jobs
from mmbench.search.pool import Pool
from mmbench.search.study import brief
from mmbench.seeds import fresh_seeds
from mmbench.spec import Component, TrialSpec
from mmbench.tracking import Tracker


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a comparison found."""

    request: ComparisonRequest
    verdicts: Sequence[Verdict]
    rows: Mapping[str, Row]
    """By label."""
    failures: Mapping[str, str]
    """Contestants without a result, and why."""
    tuning: Mapping[str, Sequence[Mapping[str, Any]]]
    """By label, every tuning trial."""


@dataclass
class Comparison:
    """What is compared, with which means, and where it goes. Every step keeps what it has done."""

    request: ComparisonRequest
    places: Places
    crew: Crew
    plugins: Plugins
    listener: Listener
    diagnose: bool = False
    name: str = field(init=False)
    tracker: Tracker = field(init=False)

    def __post_init__(self) -> None:
        _, self.dataset = resolve_dataset(self.request.task, self.plugins)
        self.name = comparison_name(self.request, self.dataset.version, self.plugins)
        self.tracker = Tracker(self.places.tracking_uri, self.places.out / "artifacts")

    def run(self) -> Outcome:
        """The whole job."""
        self.places.check()
        trials = {
            c.label: tuning_specs(self.request, c, self.plugins) for c in self.request.contestants
        }
        tuned = self._tune(trials)
        best, failures = self._choose(trials, tuned)
        families = self._evaluate(best, failures)
        self._check(families, failures)
        tuning = _histories(trials, tuned)
        rows = self._rows(families, trials, tuning)
        verdicts = self._judge(families, trials, tuned)
        return Outcome(self.request, verdicts, rows, failures, tuning)

    def _check(self, families: Collection[str], failures: Mapping[str, str]) -> None:
        """Raise ``SearchFailed`` if no contestant finished."""
        if any(c.label in families for c in self.request.contestants if not c.reference):
            return
        each = "; ".join(f"{label}: {reason}" for label, reason in failures.items())
        raise SearchFailed(f"No contestant of {self.name} finished. {each}.")

    def _tune(self, trials: Mapping[str, Sequence[TrialSpec]]) -> dict[str, dict[str, Any]]:
        """Every trial of every contestant, the first of each first; results by spec id."""
        specs = [s[i] for i in range(self.request.budget) for s in trials.values() if i < len(s)]
        jobs = write_jobs(self.places.study(self.name) / "tuning", specs)
        work(self, "--tune", jobs, "tuning", self.listener.tuning)
        ended = {spec.id: _result(job) for spec, job in zip(specs, jobs, strict=True)}
        self._log(specs, ended)
        return ended

    def _log(self, specs: Sequence[TrialSpec], ended: Mapping[str, dict[str, Any]]) -> None:
        run = self.tracker.search_run(
            self.task.name, self.name, self.request.to_dict(), environment(self.plugins)
        )
        for number, spec in enumerate(specs):
            record = ended[spec.id]
            run.log_trial(number, "failed" if "error" in record else "finished", spec, record)
        run.finish()

    def _choose(
        self, trials: Mapping[str, Sequence[TrialSpec]], tuned: Mapping[str, dict[str, Any]]
    ) -> tuple[dict[str, TrialSpec], dict[str, str]]:
        """Each contestant's best trial on validation, the earlier of equals; and who failed."""
        best, failures = {}, {}
        for label, specs in trials.items():
            finished = [s for s in specs if "value" in tuned[s.id]]
            if finished:
                best[label] = max(finished, key=lambda s: self._sign * tuned[s.id]["value"])
            else:
                failures[label] = _last_line(tuned[specs[0].id]["error"])
        return best, failures

    def _evaluate(
        self, best: Mapping[str, TrialSpec], failures: dict[str, str]
    ) -> dict[str, list[SeedResult]]:
        """The finished seeds of each contestant; one whose seeds did not all finish has failed."""
        seeds = fresh_seeds(self.request.seeds, self.request.seed)
        seeded = [spec.with_seed(seed) for seed in seeds for spec in best.values()]
        jobs = write_jobs(self.places.finals(self.name), seeded)
        finish(self, jobs)
        done = results(jobs)
        families = {}
        for label, spec in best.items():
            if len(done.get(spec.family, ())) == len(seeds):
                families[label] = done[spec.family]
            else:
                failures[label] = "not all of its fresh seeds could be trained"
        return families

    def _rows(
        self,
        families: Mapping[str, list[SeedResult]],
        trials: Mapping[str, Sequence[TrialSpec]],
        tuning: Mapping[str, Sequence[Mapping[str, Any]]],
    ) -> dict[str, Row]:
        request = self.request
        summary = {
            "comparison": self.name,
            "seed": request.seed,
            "trials": request.budget,
            "device": request.device,
            "workers": self.crew.workers,
        }
        by_family = {seeds[0].spec.family: seeds for seeds in families.values()}
        own = {}
        for label, seeds in families.items():
            tried = [spec.family for spec in trials[label]]
            family = seeds[0].spec.family
            own[family] = {"history": tuning[label], "trial": tried.index(family)}
        rows = {row.id: row for row in Conclusion(self, summary, own).rows(by_family)}
        return {label: rows[seeds[0].spec.family] for label, seeds in families.items()}

    def _judge(
        self,
        families: Mapping[str, list[SeedResult]],
        trials: Mapping[str, Sequence[TrialSpec]],
        tuned: Mapping[str, dict[str, Any]],
    ) -> list[Verdict]:
        validation = {
            label: [tuned[s.id].get("value") for s in trials[label]] for label in families
        }
        return judge(
            families,
            validation,
            frozenset(c.label for c in self.request.contestants if c.reference),
            self._yardstick(),
            self.plugins.metrics[self.dataset.task.metric](),
            self.dataset.load("test"),
        )

    def _yardstick(self) -> str | None:
        plain = [c for c in self.request.contestants if _is_plain(c)]
        return plain[0].label if plain else None

    @property
    def _sign(self) -> int:
        return self.plugins.metrics[self.dataset.task.metric]().sign

    @property
    def task(self) -> Component:
        return self.request.task

    @property
    def device(self) -> str:
        return self.request.device

    def pool(self, arguments: Sequence[str], phase: str) -> Pool:
        """Workers of this machine for one phase, not yet started."""
        logs = self.places.study(self.name) / "logs" / phase
        return Pool(arguments, self.crew.workers, self.crew.threads, logs)


def _is_plain(contestant: Contestant) -> bool:
    return contestant.fusion.name == "concat" and contestant.objective == "plain"


def _result(job: Path) -> dict[str, Any]:
    """How a tuning job ended: a ``value``, or an ``error``."""
    for name in (RESULT, FAILURE):
        if (job / name).exists():
            document: dict[str, Any] = json.loads((job / name).read_text())
            return document
    raise SearchFailed(f"The workers ended before {job} was done. The same command goes on.")


def _histories(
    trials: Mapping[str, Sequence[TrialSpec]], tuned: Mapping[str, dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Each contestant's own trials, its defaults first."""
    return {
        label: [
            brief(n, "failed" if "error" in tuned[s.id] else "finished", s, tuned[s.id])
            for n, s in enumerate(specs)
        ]
        for label, specs in trials.items()
    }


def _last_line(error: str) -> str:
    return error.strip().splitlines()[-1]
