"""Methods ranked over several tasks, each formula against a slow and obvious one."""

import io
import json
import math
import random
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from html_elements import elements
from test_leaderboard import CPU, GPU, make_row

from mmbench.cli import main as cli
from mmbench.errors import InvalidSpec, StorageError
from mmbench.leaderboard.across import across
from mmbench.leaderboard.across.bradley_terry import DRAWN, elo, log_strengths
from mmbench.leaderboard.across.entries import entries_of
from mmbench.leaderboard.across.figures import on_front
from mmbench.leaderboard.across.fronts import covered, hypervolume
from mmbench.leaderboard.across.page import write_index
from mmbench.leaderboard.across.significance import (
    Significance,
    critical_difference,
    friedman_p,
    groups,
    least_tasks,
    nemenyi_q,
    sign_tests,
    significance,
)
from mmbench.leaderboard.across.terminal import terminal_table
from mmbench.leaderboard.across.words import _significant, words
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.row_files import write_row
from mmbench.leaderboard.site.build import write_site
from mmbench.leaderboard.sources import rows_under

SEEDS = [101, 102, 103]
MORE_SEEDS = [*SEEDS, 104]
NUMBER = iter(range(1, 10**6))


def made(task: str, fusion: str, *per_seed: float, **changes: Any) -> Row:
    """A row of that method on that task, its validation as its test."""
    mean = sum(per_seed) / len(per_seed)
    figures = {"mean": mean, "low": mean - 0.01, "high": mean + 0.01, "per_seed": list(per_seed)}
    own = {
        "task": task,
        "fusion": fusion,
        "seeds": MORE_SEEDS[: len(per_seed)],
        "quality": {"accuracy": figures},
        "validation": {"mean": mean, "per_seed": list(per_seed)},
        "reference": fusion in ("majority", "concat") or fusion.startswith("only"),
    }
    return replace(make_row(next(NUMBER)), **{**own, **changes})


def board(*tasks: str, **scores: float) -> list[Row]:
    """The same scores on every task and seed."""
    return [made(t, f.replace("_", "-"), *[s] * 3) for t in tasks for f, s in scores.items()]


def by_name(rows: list[Row]) -> dict[str, Any]:
    return {m.method: m for m in across(rows).methods}


# --- who takes part


def test_a_method_is_a_fusion_with_its_paradigm_and_its_row_the_best_on_validation() -> None:
    better_on_test = made(
        "t", "gated", 0.9, 0.9, 0.9, validation={"mean": 0.5, "per_seed": [0.5] * 3}
    )
    better_on_validation = made(
        "t", "gated", 0.8, 0.8, 0.8, validation={"mean": 0.6, "per_seed": [0.6] * 3}
    )
    joint = made("t", "gated", 0.7, 0.7, 0.7, objective="joint")
    singles = [made("t", "only-image", 0.4, 0.4, 0.4), made("t", "only-question", 0.6, 0.6, 0.6)]
    (here,) = entries_of([better_on_test, joint, better_on_validation, *singles])
    assert {m: row.id for m, row in here.rows.items()} == {
        "best single modality": singles[1].id,
        "gated": better_on_validation.id,
        "gated + joint": joint.id,
    }


def test_without_a_plain_concat_any_concat_is_the_yardstick() -> None:
    joint = made("t", "concat", 0.9, 0.9, 0.9, objective="joint")
    assert list(entries_of([joint])[0].rows) == ["concat"]
    plain = made("t", "concat", 0.8, 0.8, 0.8)
    assert sorted(entries_of([joint, plain])[0].rows) == ["concat", "concat + joint"]


def test_lower_validation_is_better_where_the_metric_says_so() -> None:
    lower = {"higher_is_better": False}
    worse, better = (
        made("t", "gated", 0.5, 0.5, 0.5, **lower),
        made("t", "gated", 0.25, 0.25, 0.25, **lower),
    )
    other = made("t", "sum", 0.3, 0.3, 0.3, **lower)
    found = by_name([worse, better, other])
    assert found["gated"].cells["t"].row == better.id
    assert (found["gated"].average_rank, found["sum"].average_rank) == (1, 2)
    assert found["gated"].cells["t"].score == 0.25


def test_previews_and_older_versions_take_no_part() -> None:
    new = made("t", "sum", 0.5, 0.5, 0.5, task_version="2")
    old = made("t", "gated", 0.9, 0.9, 0.9, created="2025-01-01T00:00:00+00:00")
    assert list(by_name([new, old, made("t", "film", 0.99)])) == ["sum"]
    with pytest.raises(InvalidSpec, match="three or more seeds"):
        across([made("t", "sum", 0.5)])


def test_a_method_that_is_absent_counts_as_the_majority_and_is_marked() -> None:
    rows = [*board("a", "b", majority=0.3, concat=0.8), made("a", "sum", 0.9, 0.9, 0.9)]
    found = by_name(rows)
    absent = found["sum"].cells["b"]
    assert (absent.stands_in, absent.row, absent.score) == (True, None, 0.3)
    assert absent.rank == found["majority"].cells["b"].rank == 2.5
    assert (found["sum"].tasks, found["concat"].tasks) == (1, 2)
    document = across(rows).to_dict()
    assert json.dumps(document, allow_nan=False)
    assert any("1 of 6 results is missing" in line for line in document["words"])


def test_without_a_majority_the_absent_rank_below_everyone() -> None:
    rows = [*board("a", "b", concat=0.1, gated=0.2), made("a", "sum", 0.9, 0.9, 0.9)]
    cell = by_name(rows)["sum"].cells["b"]
    assert (cell.rank, cell.score, cell.stands_in) == (3, None, True)
    json.dumps(across(rows).to_dict(), allow_nan=False)


def test_the_search_chooses_by_validation_and_is_a_method_itself() -> None:
    searched = {"search": {"study": "t-1"}}
    rows = [
        made("t", "gated", 0.9, 0.9, 0.9, validation={"mean": 0.5}, **searched),
        made("t", "concat", 0.7, 0.7, 0.7, validation={"mean": 0.6}, **searched),
        made("t", "only-image", 0.8, 0.8, 0.8, validation={"mean": 0.99}, **searched),
        made("t", "sum", 0.8, 0.8, 0.8, validation={"mean": 0.9}),  # was compared, not searched
    ]
    choice = by_name(rows)["search's choice"]
    assert (choice.reference, choice.cells["t"].row) == (True, rows[1].id)
    assert "search's choice" not in by_name(rows[3:])


def test_who_is_on_fewer_than_half_of_the_tasks_is_named_and_not_ranked() -> None:
    rows = [*board("a", "b", "c", concat=0.5, gated=0.4), made("a", "sum", 0.9, 0.9, 0.9)]
    rows += [made(t, "film", 0.3, 0.3, 0.3) for t in "bc"]
    rows.append(made("d", "stack", 0.3, 0.3, 0.3))  # alone on its task: nothing to rank there
    found = across(rows)
    assert [m.method for m in found.methods] == ["concat", "gated", "film"]
    assert [t.task for t in found.tasks] == ["a", "b", "c"]
    assert found.left_out == {"sum": 1}
    assert any(line.startswith("Not ranked") and ": sum." in line for line in words(found))


def test_a_task_of_one_modality_takes_no_part() -> None:
    one = [made("speech", m, 0.9, 0.9, 0.9, encoders={"speech": {}}) for m in ("concat", "sum")]
    assert [t.task for t in across(board("a", concat=0.5, sum=0.4) + one).tasks] == ["a"]
    with pytest.raises(InvalidSpec, match="modalities answer together"):
        across(one)


# --- ranks and wins


def slow_rank(mine: float, everyone: list[float]) -> float:
    return 1 + sum(s > mine for s in everyone) + (sum(s == mine for s in everyone) - 1) / 2


def test_average_ranks_and_win_rates_equal_their_slow_formulas() -> None:
    draw = random.Random(0)
    names, tasks = ["concat", "gated", "sum", "film"], ["a", "b", "c"]
    # few distinct values, so that there are ties
    scores = {(t, m): [draw.randint(0, 3) / 4 for _ in SEEDS] for t in tasks for m in names}
    rows = [made(t, m, *scores[t, m]) for t, m in scores]
    found = across(rows)
    for summary in found.methods:
        m = summary.method
        ranks = [
            sum(slow_rank(scores[t, m][i], [scores[t, o][i] for o in names]) for i in range(3)) / 3
            for t in tasks
        ]
        assert summary.average_rank == pytest.approx(sum(ranks) / 3)
        rates = []
        for other in set(names) - {m}:
            pairs = [p for t in tasks for p in zip(scores[t, m], scores[t, other], strict=True)]
            rates.append(sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs))
            assert found.win_rates[m][other] == pytest.approx(rates[-1])
        assert summary.win_rate == pytest.approx(sum(rates) / 3)
    assert [m.average_rank for m in found.methods] == sorted(m.average_rank for m in found.methods)


def test_tasks_weigh_the_same_however_many_seeds_they_have() -> None:
    rows = [
        made("a", "gated", *[0.9] * 4), made("a", "sum", *[0.1] * 4),
        made("b", "gated", 0.1, 0.1, 0.1), made("b", "sum", 0.9, 0.9, 0.9),
    ]  # fmt: skip
    found = across(rows)
    assert found.win_rates == {"gated": {"sum": 0.5}, "sum": {"gated": 0.5}}
    assert [m.elo.rating for m in found.methods] == pytest.approx([1000, 1000])


def test_methods_are_ranked_on_the_seeds_they_share_else_by_their_means() -> None:
    one = made("t", "gated", 0.1, 0.9, 0.9)
    two = made("t", "sum", 0.8, 0.8, 0.8, seeds=[102, 103, 104])
    assert across([one, two]).tasks[0].seeds == [102, 103]
    assert by_name([one, two])["gated"].average_rank == 1
    apart = made("t", "sum", 0.8, 0.8, 0.8, seeds=[7, 8, 9])
    assert across([one, apart]).tasks[0].seeds == []
    assert by_name([one, apart])["gated"].average_rank == 2  # 0.63 to 0.8


def test_who_dominates_has_every_win_and_the_order_of_rows_does_not_matter() -> None:
    rows = board("a", "b", "c", "d", "e", "f", majority=0.1, only_x=0.3, concat=0.5, gated=0.9)
    rows.append(made("f", "sum", 0.7, 0.8, 0.9))
    found = across(rows)
    best = found.methods[0]
    assert (best.method, best.average_rank) == ("gated", pytest.approx(1, abs=0.1))
    assert best.win_rate == pytest.approx(1, abs=0.03)
    assert set(across(rows[:-1]).win_rates["gated"].values()) == {1.0}
    assert next(iter(across(rows[:-1]).methods)).win_rate == 1.0
    shuffled = rows.copy()
    random.Random(1).shuffle(shuffled)
    assert across(shuffled).to_dict() == found.to_dict()


# --- Bradley–Terry


def brute_force(wins: np.ndarray) -> list[float]:
    """Log strengths of three methods, the first at 0, from ever finer grids."""

    def likelihood(theta: tuple[float, float, float]) -> float:
        return sum(
            wins[i, j] * -math.log1p(math.exp(theta[j] - theta[i]))
            for i, j in permutations(range(3), 2)
        )

    best, width = (0.0, 0.0, 0.0), 4.0
    while width > 1e-7:
        steps = np.linspace(-width, width, 9)
        near = [(0.0, best[1] + a, best[2] + b) for a, b in product(steps, steps)]
        best, width = max(near, key=likelihood), width / 2
    return [t - sum(best) / 3 for t in best]


def test_strengths_maximise_the_likelihood() -> None:
    wins = np.array([[0, 3.5, 5], [1.5, 0, 4], [0.2, 1, 0]])
    assert log_strengths(wins) == pytest.approx(brute_force(wins), abs=1e-5)


def test_elo_adds_a_draw_to_every_pair_and_is_400_points_for_ten_to_one() -> None:
    wins = np.array([[0, 5.0, 5], [0, 0, 5], [0, 0, 0]])  # no maximum without the draws
    drawn = wins + DRAWN * (1 - np.eye(3))
    expected = [1000 + 400 * t / math.log(10) for t in brute_force(drawn)]
    assert elo(wins) == pytest.approx(expected, abs=0.01)
    ten_to_one = elo(np.array([[0, 9.5], [0.5, 0]]))  # 10 : 1 with the draws
    assert ten_to_one == pytest.approx([1200, 800])


def test_many_problems_at_once_are_as_one_by_one() -> None:
    wins = np.random.default_rng(0).uniform(0, 9, size=(4, 30, 30)) ** 3
    wins[0, 0] *= 1e3  # far ahead
    found = log_strengths(wins)
    assert found == pytest.approx(np.array([log_strengths(w) for w in wins]))
    assert found.mean(axis=1) == pytest.approx(np.zeros(4), abs=1e-9)


def test_intervals_of_elo_hold_the_rating_and_take_five_tasks() -> None:
    tasks = "abcdefgh"
    rows = [
        made(t, m, *[s + 0.01 * i] * 3)
        for i, t in enumerate(tasks)
        for m, s in (("concat", 0.5), ("gated", 0.6 if i % 3 else 0.4), ("majority", 0.1))
    ]
    for method in across(rows).methods:
        assert method.elo.low <= method.elo.rating <= method.elo.high
    gated = by_name(rows)["gated"].elo
    assert gated.high - gated.low > 20
    few = [row for row in rows if row.task in "abcd"]
    assert all(m.elo.low is None for m in across(few).methods)


# --- significance


def test_nemenyis_q_is_that_of_the_table() -> None:
    """Demšar, JMLR 2006, table 5."""
    table = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102}
    assert {k: round(nemenyi_q(k), 3) for k in table} == pytest.approx(table, abs=1e-3)
    # his example: four classifiers on fourteen data sets
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert critical_difference(4, 14, alpha=0.10) == pytest.approx(1.12, abs=0.005)


def test_friedmans_p_is_the_share_of_all_permutations() -> None:
    scores = np.array([[0.9, 0.5, 0.1], [0.8, 0.3, 0.3], [0.7, 0.2, 0.6]])
    rows = [[slow_rank(s, list(task)) for s in task] for task in scores]
    observed = np.var(np.sum(rows, axis=0))
    every = list(product(*(list(permutations(row)) for row in rows)))
    exact = sum(np.var(np.sum(p, axis=0)) >= observed - 1e-9 for p in every) / len(every)
    assert friedman_p(scores) == pytest.approx(exact, abs=0.03)


def test_groups_are_maximal_runs_within_the_critical_difference() -> None:
    ranks = {"a": 1.0, "b": 1.8, "c": 2.4, "d": 4.0}
    assert groups(ranks, 1.0) == [["a", "b"], ["b", "c"], ["d"]]
    assert groups(ranks, 9.0) == [["a", "b", "c", "d"]]


def test_below_five_tasks_no_critical_difference_is_claimed() -> None:
    scores = {"majority": 0.1, "concat": 0.5, "gated": 0.9}
    few = across(board(*"abcd", **scores))
    assert few.significance.critical_difference is None
    assert few.significance.friedman_p is None
    assert few.significance.groups == []
    assert "With 4 tasks nothing is claimed" in " ".join(words(few))
    many = across(board(*"abcdefgh", **scores))
    assert many.significance.critical_difference == pytest.approx(critical_difference(3, 8))
    assert many.significance.groups == [["gated", "concat"], ["concat", "majority"]]
    assert "majority is shown to rank worse than gated" in " ".join(words(many))


def test_where_nothing_differs_there_is_no_critical_difference() -> None:
    turns = [{"concat": a, "gated": b, "sum": c} for a, b, c in permutations((0.1, 0.2, 0.3))]
    found = significance(turns, "concat")
    assert found.friedman_p > 0.9
    assert found.critical_difference is None
    assert found.groups == [["concat", "gated", "sum"]]
    without = significance(turns, "absent")
    assert (without.against, without.sign_tests) == (None, {})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {},
            "none is shown to differ from another in rank (Friedman, p = 0.200 is not below 0.05).",
        ),
        (
            {"friedman_p": 0.04, "critical_difference": 1.5, "groups": [["a", "b", "c"]]},
            "none ranks worse than a by more than Nemenyi's critical difference of 1.50.",
        ),
        (
            {"friedman_p": 0.04, "critical_difference": 1.5, "groups": [["a", "b"], ["b", "c"]]},
            "c is shown to rank worse than a (Friedman, p = 0.040; by more than Nemenyi's critical "
            "difference of 1.50); b is not.",
        ),
        ({"tested": ["a", "b"]}, "Only 2 methods ran on every task: a Friedman test takes 3 or"),
        ({"tasks": 4}, "With 4 tasks nothing is claimed over tasks"),
    ],
)
def test_what_is_claimed_over_tasks_goes_by_their_number_and_by_friedmans_test(
    changes: dict[str, Any], said: str
) -> None:
    test = Significance(**{"tasks": 6, "tested": ["a", "b", "c"], "friedman_p": 0.2, **changes})
    (line,) = _significant(test)
    assert said in line


def test_a_method_that_was_not_run_everywhere_is_not_tested() -> None:
    rows = board(*"abcdef", majority=0.1, concat=0.5, gated=0.9)
    rows.append(made("a", "sum", 0.3, 0.3, 0.3))
    assert across(rows).significance.tested == ["gated", "concat", "majority"]


def test_sign_tests_count_tasks_and_need_enough_of_them() -> None:
    def exact(wins: int, n: int) -> float:
        tail = sum(math.comb(n, k) for k in range(n + 1) if abs(k - n / 2) >= abs(wins - n / 2))
        return tail / 2**n

    scores = {"concat": [0.5] * 9, "gated": [0.6] * 8 + [0.4], "sum": [0.5] * 3 + [0.1] * 6}
    found = sign_tests(scores, "concat")
    assert (found["gated"].wins, found["gated"].losses) == (8, 1)
    assert found["gated"].p == pytest.approx(exact(8, 9))
    assert found["sum"].p == pytest.approx(exact(0, 6))  # three ties say nothing
    assert found["sum"].p_holm == pytest.approx(2 * exact(0, 6))
    assert (found["gated"].verdict, found["sum"].verdict) == ("tie", "tie")
    for comparisons in (1, 2, 10):
        n = least_tasks(comparisons)
        assert comparisons * exact(0, n) <= 0.05 < comparisons * exact(0, n - 1)
    too_few, enough = (
        across(board(*tasks, majority=0.1, concat=0.5, gated=0.9)).significance
        for tasks in ("abcdef", "abcdefg")
    )
    assert (too_few.sign_tests, too_few.sign_test_needs) == ({}, 7)
    assert {m: t.verdict for m, t in enough.sign_tests.items()} == {
        "gated": "better",
        "majority": "worse",
    }


def many_methods(wins: int, tasks: int) -> list[Row]:
    """Sixty methods; ``best`` beats concat on ``wins`` of the tasks, others on half of them."""
    return [
        row
        for k in range(tasks)
        for row in board(
            f"t{k:02d}",
            concat=0.5,
            best=0.9 if k < wins else 0.1,
            **{f"m{i:02d}": 0.2 + i / 1000 + 0.4 * ((i + k) % 2) for i in range(58)},
        )
    ]


@pytest.mark.parametrize(("tasks", "told"), [(12, True), (20, False)])
def test_few_tasks_for_many_methods_show_only_who_wins_all(tasks: int, told: bool) -> None:
    found = across(many_methods(tasks - 1, tasks))
    p = found.significance.p_of_all_but_one
    assert (p >= 0.05) == told
    said = [line for line in words(found) if "no draw" in line]
    assert [line.endswith(f" 1 lost give p = {p:.2f}.") for line in said] == [True] * told


def test_long_lists_are_cut_in_words_and_whole_in_details(tmp_path: Path) -> None:
    rows = many_methods(12, 12)
    for row in rows:
        write_row(tmp_path, row)
    lines = write_index(tmp_path).read_text().splitlines()
    notes = [line for line in lines if line.startswith(("- Not shown", "- Against concat"))]
    assert len(notes) == 2 and all("more" in note and note.count(",") < 60 for note in notes)
    write_site(tmp_path / "site", rows, [], tmp_path)
    found = elements(tmp_path / "site" / "across.html")
    whole = " ".join(e.text for e in found if e.tag == "li" and "details" in e.inside)
    assert all(f"m{i:02d} (6:6" in whole for i in range(58))
    assert "best (12:0" in whole


# --- fronts


def test_the_hypervolume_is_the_share_of_random_points_that_are_dominated() -> None:
    draw = random.Random(0)
    points = [(draw.random(), draw.random()) for _ in range(6)] + [(1.2, 0.9)]  # one beyond it
    inside = 0
    for _ in range(20_000):
        cost, score = draw.random(), draw.random()
        inside += any(c <= cost and s >= score for c, s in points)
    assert hypervolume(points, (1.0, 0.0)) == pytest.approx(inside / 20_000, abs=0.012)


def test_the_hypervolume_of_one_best_row_is_all_and_of_nothing_is_none() -> None:
    assert covered([(0.0, 1.0), (1.0, 0.0)], (1.0, 0.0)) == 1.0
    share = (3.0 * 0.4 + 1.0 * 0.4) / (3.0 * 0.8)  # of a rectangle that is not the unit square
    assert covered([(1.0, 0.5), (3.0, 0.9)], (4.0, 0.1)) == pytest.approx(share)
    assert covered([(1.0, 1.0)], (1.0, 0.0)) is None
    assert covered([(0.0, 0.5), (1.0, 0.4)], (1.0, 0.5)) is None


def test_costs_of_different_hardware_are_never_mixed() -> None:
    slow, fast = {"hardware": CPU}, {"hardware": GPU}
    rows = [
        made("t", "concat", 0.5, 0.5, 0.5, latency_ms_p50=2.0, **slow),
        made("t", "gated", 0.6, 0.6, 0.6, latency_ms_p50=3.0, **slow),
        made("t", "concat", 0.4, 0.4, 0.4, latency_ms_p50=0.2, objective="joint", **fast),
        made("t", "film", 0.9, 0.9, 0.9, latency_ms_p50=0.1, **fast),
    ]
    found = across(rows)
    latency = {f.hardware: f for f in found.fronts if f.cost == "latency_ms_p50"}
    assert {p.method for p in latency[CPU].points} == {"concat", "gated"}
    assert [p.method for p in latency[GPU].points if p.on_front] == ["film"]
    assert latency[CPU].reference == (3.0, 0.5)
    ratios = {m.method: m.latency_vs_concat for m in found.methods}
    assert ratios == {"concat": 1, "gated": 1.5, "film": 0.5, "concat + joint": 1}


def test_on_a_front_a_single_modality_has_its_own_name() -> None:
    rows = [
        made("t", "only-a", 0.5, 0.5, 0.5, latency_ms_p50=1.0),
        made("t", "only-b", 0.6, 0.6, 0.6, latency_ms_p50=2.0),
        made("t", "concat", 0.7, 0.7, 0.7, latency_ms_p50=3.0),
    ]
    front = next(f for f in across(rows).fronts if f.cost == "latency_ms_p50")
    assert on_front(front) == "only-a 1.00, only-b 2.00, concat 3.00"


def test_latency_against_concat_is_a_geometric_mean_over_tasks() -> None:
    rows = [
        made(t, m, 0.5, 0.5, 0.5, latency_ms_p50=ms)
        for t, m, ms in (
            ("a", "concat", 1.0), ("a", "gated", 2.0), ("b", "concat", 10.0), ("b", "gated", 5.0),
        )
    ]  # fmt: skip
    assert by_name(rows)["gated"].latency_vs_concat == pytest.approx(1.0)
    unmeasured = [replace(row, latency_ms_p50=None) for row in rows]
    assert by_name(unmeasured)["gated"].latency_vs_concat is None
    assert {f.cost for f in across(unmeasured).fronts} == {"peak_memory_mib"}


# --- tuning, words, pages


def test_the_tuning_budget_is_told_and_so_is_a_difference() -> None:
    compared = {"search": {"comparison": "a-compare-1", "trials": 8}}
    searched = {"search": {"study": "b-1", "trials": 48}}
    rows = [
        made("a", "sum", 0.5, 0.5, 0.5, **compared),
        made("b", "sum", 0.5, 0.5, 0.5, **searched),
    ]
    found = across(rows)
    assert [t.budgets for t in found.tasks] == [
        ["8 trials each (comparison)"],
        ["48 trials shared by all (search)"],
    ]
    assert any(line.startswith("Tuning is alike within each task") for line in words(found))
    mixed = across([*rows, made("b", "film", 0.5, 0.5, 0.5, **compared)])
    assert any(line.startswith("Tuning differs within b, so") for line in words(mixed))
    assert "Tuning: 8 trials each (comparison), on every task." in words(across(rows[:1]))


def fill(folder: Path, *tasks: str) -> None:
    for row in board(*tasks, majority=0.1, only_x=0.3, concat=0.5, gated=0.9):
        write_row(folder, row)


def test_rows_are_found_in_boards_and_in_comparisons(tmp_path: Path) -> None:
    fill(tmp_path, "a", "b")
    fill(tmp_path / "comparisons" / "c-fusions" / "rows", "c")
    again = rows_under(tmp_path / "comparisons")[0][0]
    newer = replace(again, created="2027-01-01T00:00:00+00:00")
    write_row(tmp_path / "comparisons" / "c-objectives" / "rows", newer)
    assert {row.task for row in rows_under(tmp_path)[0]} == {"a", "b"}
    compared, problems = rows_under(tmp_path / "comparisons")
    assert (len(compared), problems) == (4, [])
    assert newer in compared
    assert again not in compared
    with pytest.raises(StorageError, match="no rows under"):
        rows_under(tmp_path / "nowhere")


def test_the_index_lists_tasks_and_ranks_boards_and_comparisons_apart(tmp_path: Path) -> None:
    fill(tmp_path, *"abcdef")
    fill(tmp_path / "comparisons" / "z-fusions" / "rows", "z")
    page = write_index(tmp_path).read_text()
    assert "[a](a/README.md)" in page
    boards, compared = page.split("## Across tasks: controlled comparisons")
    assert "gated has the best average rank of 4 methods on 6 tasks" in boards
    assert "Not shown to differ (Nemenyi" in boards
    assert "on 1 task:" in compared and "Task: z." in compared
    tables = [line for line in page.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["mmbench", "leaderboard", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
        raise SystemExit(0)
    return int(end.value.code or 0)


def test_the_command_shows_writes_and_prints_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    boards = tmp_path / "leaderboards"
    fill(boards, "a", "b")
    fill(boards / "comparisons" / "c-fusions" / "rows", "c")
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in boards.rglob("*.json")}
    assert run(monkeypatch, "--across", "--write") == 0
    assert {path: path.stat().st_mtime_ns for path in boards.rglob("*.json")} == before
    assert "best average rank of 4 methods" in " ".join(capsys.readouterr().out.split())
    assert (boards / "README.md").exists()
    assert run(monkeypatch, "--across", "--from", "leaderboards/comparisons", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [t["task"] for t in document["tasks"]] == ["c"]
    assert run(monkeypatch) == 0  # comparisons are no task
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--across --sort latency", "orders by average rank"),
        ("--from leaderboards", "--from names the rows of --across"),
        ("--across --from nowhere", "no rows under nowhere"),
        ("--across --from leaderboards --task synergi", "Did you mean 'synergy'"),
    ],
)
def test_bad_options_say_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: str,
    message: str,
) -> None:
    fill(tmp_path / "leaderboards", "synergy")
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments.split()) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("width", "last"), [(40, "win rate"), (60, "on tasks"), (200, "second")])
def test_a_narrow_terminal_drops_columns_and_cuts_no_figure(width: int, last: str) -> None:
    from rich.console import Console

    rows = board("first", concat=0.5, sum=0.4) + board("second", concat=0.6, sum=0.7)
    found = across(rows)
    table = terminal_table(found, width)
    assert table.columns[-1].header.replace("\n", " ").startswith(last)
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(table)
    text = console.export_text()
    assert "…" not in text
    figures = [column for column in table.columns if column.no_wrap]
    assert all(str(cell) in text for column in figures for cell in column.cells)
