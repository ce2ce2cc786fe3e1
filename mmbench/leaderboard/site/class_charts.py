"""What a row says of classes: who is taken for whom, and whether it is as right as it is sure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmbench.leaderboard.diagnoses import Reliability
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.site.charts import Chart, View, figure, title


@dataclass(frozen=True, slots=True)
class Count:
    """Test rows of one class taken for another; ``shade`` is their share of the true class."""

    value: int
    shade: float
    right: bool


def confusion_lines(row: Row) -> list[tuple[str, list[Count]]]:
    """By true class, in the order of the outputs; empty where classes are too many."""
    if row.confusion is None or row.outputs is None:
        return []
    return [
        (name, _counts(i, counts))
        for i, (name, counts) in enumerate(zip(row.outputs, row.confusion, strict=True))
    ]


def _counts(true: int, counts: Sequence[int]) -> list[Count]:
    total = sum(counts) or 1
    return [Count(n, round(n / total, 3), i == true) for i, n in enumerate(counts)]


def reliability_chart(row: Row) -> list[Chart]:
    """Accuracy by confidence after Guo et al., ICML 2017, and how many rows lie in each bin."""
    bins = row.reliability
    if bins is None or not sum(bins["rows"]):
        return []
    edges, n = bins["edges"], bins["rows"]
    seen = [k for k, rows in enumerate(n) if rows and bins["accuracy"][k] is not None]
    middles = [(edges[k] + edges[k + 1]) / 2 for k in seen]
    widths = [edges[k + 1] - edges[k] for k in seen]
    bar: dict[str, Any] = {"type": "bar", "x": middles, "width": widths}
    accuracy = bar | {
        "name": "accuracy",
        "y": [bins["accuracy"][k] for k in seen],
        "marker": {"color": "var(--c1)", "line": {"width": 1, "color": "var(--raised)"}},
        "customdata": [[n[k], bins["confidence"][k]] for k in seen],
        "hovertemplate": "right %{y:.1%}, sure %{customdata[1]:.1%}<br>%{customdata[0]:,} rows"
        "<extra></extra>",
    }
    rows = bar | {
        "name": "rows",
        "y": [n[k] for k in seen],
        "yaxis": "y2",
        "marker": {"color": "var(--line)"},
        "hovertemplate": "%{y:,} rows<extra></extra>",
    }
    drawn = figure(
        [accuracy, _sure(bins, seen), _diagonal(), rows],
        title("confidence: probability of the predicted class", range=[0, 1], anchor="y2"),
        title("share that is right", range=[0, 1.02], domain=[0.3, 1]),
        yaxis2={"domain": [0, 0.2], "showgrid": False, "showticklabels": False},
        hovermode="closest",
    )
    caption = (
        f"Bars on the diagonal: as often right as sure. Below it is overconfident. The calibration "
        f"error, the mean gap, is {_error(bins, seen):.3f}; below, how many rows are how sure."
    )
    return [Chart("reliability", "Is it as right as it is sure?", caption, [View("all", drawn)])]


def _sure(bins: Reliability, seen: Sequence[int]) -> dict[str, Any]:
    """The mean confidence of each bin, where its bar would end if it were calibrated."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "confidence",
        "x": [(bins["edges"][k] + bins["edges"][k + 1]) / 2 for k in seen],
        "y": [bins["confidence"][k] for k in seen],
        "marker": {
            "symbol": "line-ew-open",
            "size": 16,
            "color": "var(--c2)",
            "line": {"width": 3},
        },
        "hoverinfo": "skip",
    }


def _diagonal() -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [0, 1],
        "y": [0, 1],
        "line": {"color": "var(--soft)", "width": 1, "dash": "dot"},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _error(bins: Reliability, seen: Sequence[int]) -> float:
    """The mean gap between confidence and accuracy, weighted by rows."""
    gaps = sum(
        bins["rows"][k] * abs((bins["confidence"][k] or 0.0) - (bins["accuracy"][k] or 0.0))
        for k in seen
    )
    return gaps / sum(bins["rows"][k] for k in seen)
