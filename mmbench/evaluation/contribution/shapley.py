"""Shapley values: what each player brings to a game that coalitions of players play.

Shapley, "A Value for n-Person Games", 1953. Of modalities: Hu, Li & Zhou, "SHAPE: An Unified
Approach to Evaluate the Contribution and Cooperation of Individual Modalities", IJCAI 2022.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from math import comb

import torch

MOST_EXACT = 6
"""Players up to which all subsets are played: 64 games."""
ORDERS, SEED = 16, 0
"""Beyond, so many random orders are played, each also backwards."""

Subset = tuple[str, ...]
"""Players in their own order."""
Game = Callable[[Subset], float]


def subsets(players: Sequence[str]) -> list[Subset]:
    """All coalitions, from nobody to everybody."""
    return [s for size in range(len(players) + 1) for s in combinations(players, size)]


def shapley(players: Sequence[str], game: Game) -> dict[str, float]:
    """``φ_i = Σ_S |S|! (n − |S| − 1)! / n! · (game(S ∪ i) − game(S))`` by player.

    They sum to ``game(all) − game(())``. With more than six players, the mean over 32 orders of
    what each adds on joining: 16 random ones, and each of them backwards against noise (Mitchell
    et al., "Sampling Permutations for Shapley Value Estimation", JMLR 2022). ``game`` is asked
    for the same coalition more than once: let it remember.
    """
    if len(players) > MOST_EXACT:
        return _sampled(players, game)
    return {player: _exact(player, players, game) for player in players}


def _exact(player: str, players: Sequence[str], game: Game) -> float:
    n, value = len(players), 0.0
    for others in subsets([p for p in players if p != player]):
        gain = game(_in_order({*others, player}, players)) - game(others)
        value += gain / (n * comb(n - 1, len(others)))
    return value


def _sampled(players: Sequence[str], game: Game) -> dict[str, float]:
    draw = torch.Generator().manual_seed(SEED)
    forward = [torch.randperm(len(players), generator=draw).tolist() for _ in range(ORDERS)]
    orders = [*forward, *(order[::-1] for order in forward)]
    values = dict.fromkeys(players, 0.0)
    for order in orders:
        present: set[str] = set()
        before = game(())
        for player in (players[i] for i in order):
            present.add(player)
            now = game(_in_order(present, players))
            values[player] += (now - before) / len(orders)
            before = now
    return values


def _in_order(present: set[str], players: Sequence[str]) -> Subset:
    return tuple(p for p in players if p in present)
