"""Whether a row agrees with itself, and with the rows of its study that lie beside it.

Nothing is computed from data here: all of it follows from what the rows say.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from mmbench.evaluation.contribution.shapley import MOST_EXACT, shapley
from mmbench.evaluation.robustness.document import areas
from mmbench.leaderboard.row import Row
from mmbench.seeds import fresh_seeds
from mmbench.spec import canonical_json

ROUNDING = 1e-6
SOFTWARE = ("python", "platform", "packages")
PERCENTILES = ("ms_p50", "ms_p90", "ms_p95", "ms_p99")
CLOCKS = timedelta(days=1)
"""No clock is further ahead of another."""


def of_itself(row: Row) -> Iterator[str]:
    """What is wrong between the figures of one row."""
    latencies = row.latency_ms_p50, row.latency_ms_p90, row.latency_ms_p95
    known = [ms for ms in latencies if ms is not None]
    if known != sorted(known):
        yield "latencies do not rise from p50 over p90 to p95"
    if datetime.fromisoformat(row.created) > datetime.now(UTC) + CLOCKS:
        yield f"created lies in the future: {row.created}"
    yield from _environment(row)
    yield from _cost(row)
    yield from _robustness(row)
    yield from _contribution(row)


def _environment(row: Row) -> Iterator[str]:
    """It says what software it was, and the machine that costs were measured on."""
    if lacking := [name for name in SOFTWARE if not row.environment.get(name)]:
        yield f"environment does not say {' and '.join(lacking)}"
    if row.environment.get("hardware") != row.cost.get("hardware"):
        yield "environment.hardware is not the hardware of cost"


def _cost(row: Row) -> Iterator[str]:
    """Of all that was timed percentiles rise; parts have no more parameters than the whole."""
    cost = row.cost
    for batch, stages in _mappings(cost.get("latency")):
        for stage, timed in _mappings(stages):
            known = [ms for name in PERCENTILES if (ms := timed.get(name)) is not None]
            if known != sorted(known):
                yield f"cost: latency.{batch}.{stage} does not rise from p50 to p99"
    memory = dict(_mappings(cost)).get("memory", {})
    encoders = memory.get("parameters_encoders", {}).values()
    if sum(encoders) + row.fusion_parameters > row.parameters:
        yield "encoders and fusion have more parameters than the whole"


def _mappings(data: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What has parts of its own; ``check_cost`` names what should have."""
    for name, part in data.items() if isinstance(data, Mapping) else ():
        if isinstance(part, Mapping):
            yield name, part


def _robustness(row: Row) -> Iterator[str]:
    """Curves begin with the clean score, and areas are their means."""
    found = row.robustness
    if found is None:
        return
    begins = {f"{m}/missing": curve[0][1] for m, curve in found["missing_share"].items()}
    for modality, noises in found["corrupted"].items():
        begins |= {f"{modality}/{noise}": curve[0] for noise, curve in noises.items()}
    for name, first in begins.items():
        if not _same(first, found["clean"]):
            yield f"robustness of {name} begins with {first:g}, not with clean"
    for name, area in areas(found["missing_share"], found["corrupted"]).items():
        if name in found["area"] and not _same(found["area"][name], area):
            yield f"robustness.area of {name} does not follow from the curves"


def _contribution(row: Row) -> Iterator[str]:
    """Shapley values share out what all modalities are worth; gradients are shares of one."""
    found = row.contribution
    if found is None:
        return
    players, shared = list(found["shapley"]), math.fsum(found["shapley"].values())
    worth = {frozenset(name.split("+")) - {""}: score for name, score in found["subsets"].items()}
    total = worth.get(frozenset(players), math.nan) - worth.get(frozenset(), math.nan)
    if len(players) <= MOST_EXACT and len(worth) == 2 ** len(players):
        follow = shapley(players, lambda subset: worth[frozenset(subset)])
        if wrong := [m for m in players if not _same(found["shapley"][m], follow[m])]:
            yield f"Shapley values of {' and '.join(wrong)} do not follow from the subsets"
    elif not math.isnan(total) and not _same(shared, total):
        yield "Shapley values do not sum to what all modalities bring"
    shares = found["gradient_share"].values()
    if any(not -ROUNDING <= share <= 1 + ROUNDING for share in shares):
        yield "gradient shares are not shares"


class Board:
    """The rows of one folder, by id and by the study that found them."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.by_id: dict[str, Row] = {}
        self.by_study: dict[str | None, list[Row]] = {}
        for row in rows:
            self.by_id[row.id] = row
            self.by_study.setdefault(row.search.get("study"), []).append(row)


def with_its_study(row: Row, board: Board) -> Iterator[str]:
    """What is wrong between a row of a search and the others that it left on the board."""
    study = row.search.get("study")
    if study is None:
        return
    if "seed" not in row.search:
        yield "search.seed is missing: nobody can tell whether the seeds are fresh"
    elif row.seeds != (rule := fresh_seeds(len(row.seeds), row.search["seed"])):
        yield f"seeds are {row.seeds}; after a search of seed {row.search['seed']} they are {rule}"
    others = board.by_study.get(study, [row])  # it may lie in the folder of another task
    yield from _history(row, others)
    yield from _gain(row, others, board.by_id)


def _history(row: Row, study: Sequence[Row]) -> Iterator[str]:
    """All rows of a study list the same trials, and each its own among them."""
    known = Counter(canonical_json(other.search.get("history")) for other in study)
    own = canonical_json(row.search.get("history"))
    if known[own] < max(known.values()):
        yield f"search.history is not that of most rows of {row.search['study']}"
    history = row.search.get("history")
    for trial in history if isinstance(history, list) else ():
        mine = isinstance(trial, dict) and trial.get("number") == row.search.get("trial")
        if mine and trial.get("fusion") not in (None, row.fusion):
            yield f"search.trial is of {trial['fusion']}; the row is of {row.fusion}"


def _gain(row: Row, study: Sequence[Row], board: Mapping[str, Row]) -> Iterator[str]:
    """It is over the single modality that validation prefers, and as large as both rows say."""
    singles = [other for other in study if other.of_one_modality]
    named = row.search.get("single")
    if named is None:
        if row.gain is None and singles and len(row.encoders) > 1:
            yield "gain is missing, though single modalities of its study are there"
        return
    single = board.get(named["id"])
    if single is None:
        if singles:
            yield f"gain is over row {named['id']}, which is no row of its board"
        return
    if not single.of_one_modality:
        yield f"gain is over row {single.id}, which is {single.fusion}: no single modality"
        return
    best = max((s.sign * s.validation["mean"] for s in singles), default=-math.inf)
    if single.sign * single.validation["mean"] < best - ROUNDING:
        yield f"gain is over row {single.id}, but validation prefers another single modality"
    if row.gain is not None:
        found = row.sign * (row.main["mean"] - single.main["mean"])
        if not _same(row.gain["mean"], found):
            yield f"gain.mean is {row.gain['mean']:g}, but the two rows differ by {found:g}"


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=ROUNDING, abs_tol=ROUNDING)
