"""One strength per method from who beat whom, shown on the Elo scale.

Bradley & Terry, "Rank Analysis of Incomplete Block Designs", Biometrika 1952: method i beats j with
probability s_i / (s_i + s_j). Elo (1978) shows 400 · log10(s): 400 points are odds of 10 to 1.

The likelihood has no maximum where one method always wins. So each pair also plays one drawn task:
half a win for either, which pulls all strengths a little together (a conjugate prior as in Caron &
Doucet, "Efficient Bayesian Inference for Generalized Bradley–Terry Models", JCGS 2012).
"""

from dataclasses import dataclass

import numpy as np

from mmbench.leaderboard.across.wins import Floats

BASE, SCALE = 1000.0, 400.0
DRAWN = 0.5
"""Wins added to either side of every pair: one more task that ended in a draw."""
RESAMPLES = 500
STEPS, CONVERGED = 100, 1e-10


@dataclass(frozen=True, slots=True)
class Elo:
    """A rating; 1000 is the mean over all methods."""

    rating: float
    low: float | None
    """The 95 % interval over resampled tasks; None where there are too few tasks for one."""
    high: float | None


def elo_ratings(wins: Floats, *, interval: bool, seed: int = 0) -> list[Elo]:
    """A rating for each method from ``wins`` (tasks, methods, methods).

    The interval is that of a percentile bootstrap over tasks: what would another choice of tasks
    have said? Few tasks show too little of that, so it is rather too narrow than too wide.
    """
    ratings = elo(wins.sum(axis=0))
    if not interval:
        return [Elo(float(rating), None, None) for rating in ratings]
    n_tasks = len(wins)
    drawn = np.random.default_rng(seed).multinomial(n_tasks, [1 / n_tasks] * n_tasks, RESAMPLES)
    resampled = elo(np.einsum("rt,tij->rij", drawn.astype(float), wins))
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    return [Elo(*map(float, figures)) for figures in zip(ratings, low, high, strict=True)]


def elo(wins: Floats) -> Floats:
    """(…, methods) ratings from the (…, methods, methods) number of tasks won, draws added."""
    prior = DRAWN * (1 - np.eye(wins.shape[-1]))
    ratings: Floats = BASE + SCALE / np.log(10) * log_strengths(wins + prior)
    return ratings


def log_strengths(wins: Floats) -> Floats:
    """(…, methods) that maximise Σ wins[i, j] · log(s_i / (s_i + s_j)); their mean is 0.

    Newton's method, all problems at once. The likelihood is concave in log strengths, and curves
    most where all are equal: steps from there fall short, none overshoots.
    """
    k = wins.shape[-1]
    games = wins + wins.swapaxes(-1, -2)
    theta: Floats = np.zeros(wins.shape[:-1])
    for _ in range(STEPS):
        expected = 1 / (1 + np.exp(theta[..., None, :] - theta[..., :, None]))
        gradient = (wins - games * expected).sum(axis=-1)
        weight = games * expected * (1 - expected)
        hessian = np.eye(k) * weight.sum(axis=-1)[..., None] - weight
        # strengths are known up to a factor: 1 / k pins their mean
        step = np.linalg.solve(hessian + 1 / k, gradient[..., None])[..., 0]
        theta = theta + step
        if np.abs(step).max() < CONVERGED:
            break
    return theta
