"""Who takes part across tasks: each method's row on each task, and its score on every seed.

A method is a fusion, with its paradigm where that is not plain (``concat + ogm-ge``). Its row on a
task is the one that validation, never test, says is the best. Four references are methods too:

- ``majority``;
- ``best single modality``, chosen by validation, so another modality on each task;
- ``concat``: the plain one, or where a task has none, the concat row that validation prefers;
- ``search's choice``: of all fusions that searches kept, the one that validation prefers, so
  another one on each task: what `mmbench search` gives who follows it.

A method without a row on a task failed there or was never run there. It counts as the majority
baseline, as a crash does in AMLB (Gijsbers et al., "AMLB: an AutoML Benchmark", JMLR 2024), and is
shown so; on fewer than half of the tasks it is not ranked, since that would rank the baseline.
Retrieval takes no part, as a fusion of all modalities would have failed there by definition, and
neither does a task of one modality.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmbench.errors import InvalidSpec
from mmbench.leaderboard.headline import fuses, versions
from mmbench.leaderboard.rank import on_validation
from mmbench.leaderboard.row import Row

MAJORITY, SINGLE, CONCAT = "majority", "best single modality", "concat"
CHOICE = "search's choice"
REFERENCES = (MAJORITY, SINGLE, CONCAT, CHOICE)
PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Entries:
    """The methods of one task at its newest version."""

    task: str
    rows: Mapping[str, Row]
    """By method; those without a row here are missing."""
    everyone: Sequence[Row]
    """Every ranked row of the task, in an order that does not depend on the order given."""
    methods: Mapping[str, str]
    """The method of each of them, by the row's id."""
    seeds: Sequence[int]
    """Seeds that all methods share; empty if there is none: then means are compared."""
    scores: Mapping[str, Sequence[float]]
    """Of every ranked method: one score per shared seed, or the mean; more is better."""

    @property
    def any_row(self) -> Row:
        return self.everyone[0]


def entries_of(rows: Sequence[Row]) -> list[Entries]:
    """One for each task, by name. A row of a single seed is a preview and takes no part."""
    ranked = sorted((r for r in rows if not r.preview), key=lambda row: (row.task, row.id))
    tasks = [_newest(ranked, task) for task in dict.fromkeys(row.task for row in ranked)]
    tasks = [everyone for everyone in tasks if fuses(everyone)]
    if not tasks:
        raise InvalidSpec(
            "There is nothing to rank across tasks: no row of a task that modalities answer "
            "together was run on three or more seeds. `mmbench compare` and `mmbench search` make "
            "such rows."
        )
    named = [methods_of(everyone) for everyone in tasks]
    chosen = [_chosen(*task) for task in zip(tasks, named, strict=True)]
    often = _often(chosen)
    return [
        Entries(everyone[0].task, own, everyone, names, *_scores(own, often))
        for everyone, names, own in zip(tasks, named, chosen, strict=True)
        if not own.keys().isdisjoint(often)
    ]


def _often(chosen: Sequence[Mapping[str, Row]]) -> list[str]:
    """The methods with a row on half as many tasks, at least, as the one that has most."""
    counts = Counter(method for own in chosen for method in own)
    most = max(counts.values())
    return sorted(method for method, n in counts.items() if 2 * n >= most)


def _newest(rows: Sequence[Row], task: str) -> list[Row]:
    own = [row for row in rows if row.task == task]
    newest = versions(own)[0]
    return [row for row in own if row.task_version == newest]


def methods_of(rows: Sequence[Row]) -> dict[str, str]:
    """The method of every row of one task, by id; without a plain concat, any concat is concat."""
    has_plain = any(row.fusion == CONCAT and row.objective == PLAIN for row in rows)
    return {row.id: _method(row, has_plain=has_plain) for row in rows}


def _method(row: Row, *, has_plain: bool) -> str:
    if row.fusion == MAJORITY:
        return MAJORITY
    if row.of_one_modality:
        return SINGLE
    if row.objective == PLAIN or (row.fusion == CONCAT and not has_plain):
        return row.fusion
    return f"{row.fusion} + {row.objective}"


def _chosen(rows: Sequence[Row], names: Mapping[str, str]) -> dict[str, Row]:
    """The best row of each method by validation; of equals, the first."""
    by_method: dict[str, list[Row]] = {}
    for row in rows:
        by_method.setdefault(names[row.id], []).append(row)
    searched = [row for row in rows if row.search.get("study")]
    if fused := [row for row in searched if names[row.id] not in (MAJORITY, SINGLE)]:
        by_method[CHOICE] = fused
    return {method: max(own, key=on_validation) for method, own in sorted(by_method.items())}


def _scores(
    rows: Mapping[str, Row], methods: Sequence[str]
) -> tuple[list[int], dict[str, list[float]]]:
    """Shared seeds, and scores on them; who has no row scores like the majority, or below all."""
    taking_part = {method: row for method, row in rows.items() if method in methods}
    shared = sorted(set.intersection(*(set(row.seeds) for row in taking_part.values())))
    own = {method: _on_seeds(row, shared) for method, row in taking_part.items()}
    absent = own.get(MAJORITY, [float("-inf")] * max(1, len(shared)))
    return shared, {method: own.get(method, absent) for method in methods}


def _on_seeds(row: Row, seeds: Sequence[int]) -> list[float]:
    quality = row.quality[row.metric]
    if not seeds:
        return [row.sign * quality["mean"]]
    by_seed = dict(zip(row.seeds, quality["per_seed"], strict=True))
    return [row.sign * by_seed[seed] for seed in seeds]
