"""The end of the line: cost, intervals and gains of each configuration; its row and its run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mmbench.evaluation.environment import environment
from mmbench.evaluation.measure import measure_in_fresh_process
from mmbench.final import FinalEvaluation, SeedResult, evaluate_family
from mmbench.leaderboard.assemble import row_of
from mmbench.leaderboard.diagnoses import predictions_file
from mmbench.leaderboard.kept import keep_predictions, keep_row
from mmbench.leaderboard.row import Row
from mmbench.resolve import resolve_dataset
from mmbench.tracking import Evaluated

if TYPE_CHECKING:
    from mmbench.campaign.undertaking import Undertaking

COST = "cost.json"


@dataclass(frozen=True, slots=True)
class Conclusion:
    """Turns the finished seeds of a job into rows."""

    undertaking: Undertaking
    summary: Mapping[str, Any]
    """What the reader should know of how the configurations were found."""
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By family, what of that concerns it alone."""

    def rows(self, families: Mapping[str, list[SeedResult]]) -> list[Row]:
        """One row per configuration; models are measured one after the other, alone."""
        job = self.undertaking
        _, dataset = resolve_dataset(job.task, job.plugins)
        test = dataset.load("test")
        higher = job.plugins.metrics[dataset.task.metric].higher_is_better
        several = len(dataset.task.modalities) > 1  # of one there is nothing to fuse
        single = best_single(list(families.values()), higher_is_better=higher) if several else None
        kept = {family: keep_predictions(seeds) for family, seeds in families.items()}
        compared = None
        if single is not None:
            over = single[0].spec.family
            compared = {"id": over, "sha256": kept[over]["sha256"]}
        rows = []
        for number, (family, seeds) in enumerate(families.items()):
            label = f"{seeds[0].spec.encoders_label} → {seeds[0].spec.fusion_label}"
            job.listener.measuring(number, len(families), label)
            cost = self._cost(seeds[0])
            final = evaluate_family(seeds, single, cost, test, job.plugins)
            summary = {**self.summary, **self.own.get(family, {})}
            summary["single"] = compared if final.gain else None
            row = row_of(final, summary, environment(job.plugins, final.resolved), kept[family])
            keep_row(seeds, row)
            self._track(final, row)
            rows.append(row)
        job.listener.measuring(len(families), len(families), "")
        return rows

    def _cost(self, seed: SeedResult) -> dict[str, Any]:
        """Measured once: the same command later shows the same row."""
        kept, threads = seed.folder / COST, self.undertaking.crew.threads
        if kept.exists():
            known: dict[str, Any] = json.loads(kept.read_text())
            if known["threads"] == threads:
                return known
        cost = measure_in_fresh_process(seed.model_folder, self.undertaking.device, threads)
        kept.write_text(json.dumps(cost, indent=2))
        return cost

    def _track(self, final: FinalEvaluation, row: Row) -> None:
        first = final.seeds[0]
        evaluated = Evaluated(
            row.to_dict(),
            [seed.curve for seed in final.seeds],
            final.confusion,
            final.resolved.task.outputs,
            final.reliability,
            first.model_folder,
            first.folder / predictions_file(row.id),
        )
        self.undertaking.tracker.log_final(row.task, evaluated)


def best_single(
    families: Sequence[list[SeedResult]], *, higher_is_better: bool
) -> list[SeedResult] | None:
    """The single modality that validation, never test, says is the best."""
    alone = [f for f in families if f[0].spec.fusion.name == "only"]
    sign = 1 if higher_is_better else -1
    return max(alone, key=lambda f: sign * sum(s.validation for s in f) / len(f), default=None)
