"""How one figure of a ranking across tasks reads, in Markdown and on the terminal alike."""

from mmbench.leaderboard import cells
from mmbench.leaderboard.across.fronts import Front
from mmbench.leaderboard.across.summary import Cell, MethodSummary

STANDS_IN = "†"
COST_NAMES = {"latency_ms_p50": "latency p50, ms", "peak_memory_mib": "peak memory, MiB"}


def name(method: MethodSummary) -> str:
    """With ``(reference)`` after what is a yardstick, not a contestant."""
    return f"{method.method} (reference)" if method.reference else method.method


def rank(value: float) -> str:
    return f"{value:.2f}"


def share(value: float | None) -> str:
    return cells.NONE if value is None else f"{value:.0%}"


def ratio(value: float | None) -> str:
    return cells.NONE if value is None else f"{value:.2f}×"


def on_task(cell: Cell) -> str:
    """``0.953 (1.3)``: score and rank; a dagger where the majority baseline stands in."""
    score = cells.NONE if cell.score is None else cells.score(cell.score)
    return f"{score}{STANDS_IN if cell.stands_in else ''} ({cell.rank:.1f})"


def on_front(front: Front) -> str:
    """The methods of the front, cheapest first, each with its cost."""
    kept = [point for point in front.points if point.on_front]
    return ", ".join(f"{p.method} {_cost(front, p.cost)}" for p in kept)


def _cost(front: Front, value: float) -> str:
    return cells.milliseconds(value) if front.cost == "latency_ms_p50" else f"{value:,.1f}"
