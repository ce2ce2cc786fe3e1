"""Which methods are shown to differ over tasks, and what cannot be said with so few of them.

Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 2006: a Friedman test
asks whether methods differ at all; if so, two of them differ where their average ranks are further
apart than Nemenyi's critical difference. Beside it, every method is compared with concat by a sign
test over tasks, Holm-corrected, which does not depend on who else takes part (Benavoli, Corani &
Mangili, "Should We Really Use Post-Hoc Tests Based on Mean-Ranks?", JMLR 2016).

Differs from the paper: Friedman's p-value comes from permuting ranks within tasks, since its χ²
approximation wants more than ten tasks and five methods; and the sign test stands in for Wilcoxon's
signed ranks, which would order differences of unlike metrics by size.

A method that has no row on some task is not tested: what was never run proves nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, log2

import numpy as np

from mmbench.evaluation.paired import holm, mean_ranks
from mmbench.leaderboard.across.wins import Floats

ALPHA = 0.05
LEAST_TASKS = 5
"""Below this many tasks nothing is claimed over tasks: no critical difference, no interval."""
LEAST_METHODS = 3
PERMUTATIONS = 2000


@dataclass(frozen=True, slots=True)
class AgainstConcat:
    """A sign test over tasks."""

    wins: int
    losses: int
    p: float
    """Two-sided, not corrected."""
    p_holm: float

    @property
    def verdict(self) -> str:
        if self.p_holm >= ALPHA:
            return "tie"
        return "better" if self.wins > self.losses else "worse"


@dataclass(frozen=True, slots=True)
class Significance:
    """What the number of tasks allows to be said; None or empty where it allows nothing."""

    tasks: int
    tested: list[str]
    """Methods with a row on every task, best average rank first."""
    ranks: dict[str, float] = field(default_factory=dict)
    """Of the tested among themselves: each task ranks means over seeds."""
    friedman_p: float | None = None
    critical_difference: float | None = None
    """None as well where the Friedman test shows no difference."""
    groups: list[list[str]] = field(default_factory=list)
    """Maximal sets of tested methods that are not shown to differ, best first."""
    against: str | None = None
    """The method of the sign tests."""
    sign_tests: dict[str, AgainstConcat] = field(default_factory=dict)
    sign_test_needs: int | None = None
    """Tasks from which a sign test could show anything, corrected for that many methods."""

    @property
    def p_of_all_but_one(self) -> float:
        """Corrected, of winning every task but one: Holm spares it the tests that are surer."""
        from scipy.stats import binomtest  # type: ignore[import-untyped]

        p = float(binomtest(1, self.tasks).pvalue)
        left = sum(test.p >= p for test in self.sign_tests.values())
        return min(1.0, max(1, left) * p)


def significance(means: Sequence[Mapping[str, float]], yardstick: str) -> Significance:
    """Tests over tasks; ``means`` holds for each task the mean score of those that have a row.

    More is better. ``yardstick`` is the method of the sign tests, if it is on every task.
    """
    complete = sorted(set.intersection(*(set(task) for task in means)))
    per_task = {m: [task[m] for task in means] for m in complete}
    ranks = mean_ranks(per_task, higher_is_better=True) if complete else {}
    tested = sorted(complete, key=lambda m: (ranks[m], m))
    against = yardstick if yardstick in complete and len(complete) > 1 else None
    needs = None if against is None else least_tasks(len(complete) - 1)
    if len(means) < LEAST_TASKS or len(complete) < LEAST_METHODS:
        return Significance(len(means), tested, ranks, against=against, sign_test_needs=needs)
    p = friedman_p(np.array([per_task[m] for m in tested]).T)
    distance = critical_difference(len(tested), len(means)) if p < ALPHA else None
    return Significance(
        len(means), tested, ranks, p, distance,
        [tested] if distance is None else groups(ranks, distance),
        against,
        {} if needs is None or len(means) < needs else sign_tests(per_task, against or ""),
        needs,
    )  # fmt: skip


def friedman_p(scores: Floats, seed: int = 0) -> float:
    """P-value of Friedman's test of (tasks, methods), by permuting ranks within each task.

    ``1 + `` in both places counts what was observed as one of the permutations.
    """
    from scipy.stats import rankdata

    ranks = rankdata(scores, axis=1)
    draws = np.random.default_rng(seed)
    observed = _spread(ranks)
    drawn = [_spread(draws.permuted(ranks, axis=1)) for _ in range(PERMUTATIONS)]
    as_large = sum(spread >= observed - 1e-9 for spread in drawn)
    return float((1 + as_large) / (1 + PERMUTATIONS))


def _spread(ranks: Floats) -> float:
    """What Friedman's χ² is proportional to, whatever the ties: the variance of rank sums."""
    return float(ranks.sum(axis=0).var())


def critical_difference(methods: int, tasks: int, alpha: float = ALPHA) -> float:
    """Nemenyi's: average ranks further apart than this differ, all pairs considered at once."""
    return nemenyi_q(methods, alpha) * float(np.sqrt(methods * (methods + 1) / (6 * tasks)))


def nemenyi_q(methods: int, alpha: float = ALPHA) -> float:
    """The studentised range for that many methods and infinite degrees of freedom, over √2."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - alpha, methods, np.inf) / np.sqrt(2))


def groups(ranks: Mapping[str, float], distance: float) -> list[list[str]]:
    """Maximal runs of methods in order of rank, none further than ``distance`` from its first."""
    order = sorted(ranks, key=lambda m: (ranks[m], m))
    found: list[list[str]] = []
    for i, first in enumerate(order):
        run = [m for m in order[i:] if ranks[m] - ranks[first] <= distance]
        if not found or run[-1] != found[-1][-1]:
            found.append(run)
    return found


def sign_tests(per_task: Mapping[str, Sequence[float]], against: str) -> dict[str, AgainstConcat]:
    """Every other method's; tasks with equal scores say nothing and are left out."""
    from scipy.stats import binomtest

    counts = {
        method: _counts(scores, per_task[against])
        for method, scores in per_task.items()
        if method != against
    }
    p = {
        method: float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
        for method, (wins, losses) in counts.items()
    }
    corrected = holm(p)
    return {m: AgainstConcat(*counts[m], p[m], corrected[m]) for m in counts}


def _counts(mine: Sequence[float], other: Sequence[float]) -> tuple[int, int]:
    pairs = list(zip(mine, other, strict=True))
    return sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)


def least_tasks(comparisons: int, alpha: float = ALPHA) -> int:
    """Tasks from which winning all of them is significant: 2 · ½ⁿ · comparisons ≤ α."""
    return ceil(log2(2 * comparisons / alpha))
