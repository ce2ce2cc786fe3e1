"""Pictures of a comparison: score against cost, and what each further trial brought."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.comparison.job import Outcome
from mmbench.comparison.verdicts import Verdict
from mmbench.leaderboard.front import Point, front
from mmbench.tracking.pictures import COLOURS, GREY, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mmbench.leaderboard.row import Row

HIGHLIGHTED = 6
"""Curves on the right."""


def draw(outcome: Outcome, folder: Path) -> list[Path]:
    """Write the pictures as SVG; those whose figures were not measured are left out."""
    metric = next(iter(outcome.rows.values())).metric
    paths = []
    for name, title, unit, cost in COSTS:
        points = _points(outcome, cost)
        if len(points) > 1:
            paths.append(_scatter(points, outcome, f"{metric} × {title}", unit, folder / name))
    if any(len(v.best_after) > 1 for v in outcome.verdicts):
        paths.append(_best_after(outcome, metric, folder / "best-after-n.svg"))
    return paths


def _latency(row: Row) -> float | None:
    return row.latency_ms_p50


def _memory(row: Row) -> float | None:
    return row.peak_memory_mib


COSTS: Sequence[tuple[str, str, str, Callable[[Row], float | None]]] = (
    ("accuracy-latency.svg", "latency", "milliseconds of one request, median", _latency),
    ("accuracy-memory.svg", "memory", "peak memory of one request, MiB", _memory),
)


def _points(outcome: Outcome, cost: Callable[[Row], float | None]) -> list[Point]:
    costs = [(cost(outcome.rows[v.label]), v) for v in outcome.verdicts]
    return [(value, v.score, v.label) for value, v in costs if value is not None and value > 0]


def _scatter(points: Sequence[Point], outcome: Outcome, title: str, unit: str, path: Path) -> Path:
    """All on the left; on the right, the leading ones alone, where their differences show."""
    higher = next(iter(outcome.rows.values())).higher_is_better
    leading = {v.label for v in outcome.verdicts if v.leads and not v.reference}
    figure, (whole, close) = _figure(title)
    for axes, chosen in ((whole, points), (close, [p for p in points if p[2] in leading])):
        best = front(chosen, higher_is_better=higher)
        references = {v.label for v in outcome.verdicts if v.reference}
        for group, colour, marker in (
            ([p for p in chosen if p[2] in references], GREY, "s"),
            ([p for p in chosen if p[2] not in references], COLOURS[0], "o"),
        ):
            costs, scores = [p[0] for p in group], [p[1] for p in group]
            axes.scatter(costs, scores, s=26, color=colour, marker=marker, alpha=0.75, linewidths=0)
        axes.plot([p[0] for p in best], [p[1] for p in best], color=COLOURS[1], lw=1.4, zorder=0)
        axes.set_xscale("log")
        _plain_ticks(axes)
        axes.set_xlabel(unit, color=GREY)
    whole.set_ylabel("score on test", color=GREY)
    _close_up(close, [p[1] for p in points if p[2] in leading])
    plain = {v.label for v in outcome.verdicts if v.yardstick is None}
    bottom, _ = close.get_ylim()
    _name(whole, [p for p in points if p[2] not in leading or p[1] < bottom], plain)
    _name(close, [p for p in points if p[2] in leading], plain)
    return _save(figure, path)


def _close_up(axes: Axes, scores: Sequence[float]) -> None:
    """Limits that a single straggler does not stretch."""
    import numpy as np

    low, high = float(np.quantile(scores, 0.1)), max(scores)
    margin = max(0.3 * (high - low), 1e-3)
    axes.set_ylim(low - 2 * margin, high + margin)


def _name(axes: Axes, points: Sequence[Point], plain: set[str]) -> None:
    """Names beside their points, those left out that would lie on one already written."""
    axes.figure.canvas.draw()  # places are known once the axes have their limits
    taken: list[tuple[float, float]] = []
    bottom, top = axes.get_ylim()
    for cost, score, label in sorted(points, key=lambda p: (p[2] not in plain, -p[1], p[0])):
        if not bottom <= score <= top:
            continue
        x, y = axes.transData.transform((cost, score))
        if all(abs(x - a) > 7 * len(label) or abs(y - b) > 11 for a, b in taken):
            axes.annotate(
                label, (cost, score), xytext=(5, -3), textcoords="offset points",
                fontsize=7.5, color=INK,
            )  # fmt: skip
            taken.append((x, y))


def _plain_ticks(axes: Axes) -> None:
    """0.2, 0.5, 1, 2 instead of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _best_after(outcome: Outcome, metric: str, path: Path) -> Path:
    """All on the left; on the right the best on test, and the plain choice."""
    from matplotlib.ticker import MaxNLocator

    figure, (whole, close) = _figure(f"Best validation {metric} expected after n tuning trials")
    curves = {v.label: v.best_after for v in outcome.verdicts if not v.reference}
    for curve in curves.values():
        whole.plot(range(1, len(curve) + 1), curve, color=COLOURS[0], linewidth=0.9, alpha=0.5)
    for i, label in enumerate(_highlighted([v for v in outcome.verdicts if not v.reference])):
        curve = curves[label]
        close.plot(
            range(1, len(curve) + 1), curve, color=COLOURS[i % len(COLOURS)], linewidth=1.8,
            marker="o", markersize=3.5, label=label,
        )  # fmt: skip
    for axes in (whole, close):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("tuning trials", color=GREY)
    close.legend(frameon=False, fontsize=9, labelcolor=INK, loc="lower right")
    return _save(figure, path)


def _highlighted(contestants: Sequence[Verdict]) -> list[str]:
    """The best on test, and the plain choice if it is not among them."""
    labels = [v.label for v in contestants[:HIGHLIGHTED]]
    plain = [v.label for v in contestants if v.yardstick is None]
    return labels if not plain or plain[0] in labels else [*labels[: HIGHLIGHTED - 1], plain[0]]


def _figure(title: str) -> tuple[Figure, tuple[Axes, Axes]]:
    """A picture with two panels, quiet axes, the title over the first."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    whole, close = figure.subplots(1, 2)
    whole.set_title(title, loc="left", fontsize=11, color=INK)
    close.set_title("the leading ones alone", loc="left", fontsize=10, color=GREY)
    for axes in (whole, close):
        axes.grid(color="#e6e6e6", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(colors=GREY, length=0, which="both")
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color("#bbbbbb")
    return figure, (whole, close)


def _save(figure: Figure, path: Path) -> Path:
    """The same picture is the same file: no date, no random ids."""
    import matplotlib as mpl

    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": path.name}):
        figure.savefig(path, metadata={"Date": None})
    return path
