"""What each modality brings, and what only their interaction brings."""

from collections.abc import Sequence
from typing import Any

from mmbench.leaderboard.cells import signed
from mmbench.leaderboard.diagnoses import Contribution
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.site.charts import Chart, View, bars, figure, label, title

MOST = 12
"""Rows in one chart, best first."""
HEIGHT, BAR = 130, 34
"""Pixels of a chart without bars, and of a bar."""

Contributing = tuple[Row, Contribution]


def contributions(rows: Sequence[Row]) -> list[Chart]:
    """Shapley values stacked, a bar for each row; and the interactions, where there are some.

    EMAP after Hessel & Lee (EMNLP 2020).
    """
    found = [(row, row.contribution) for row in rows if row.contribution][:MOST]
    if not found:
        return []
    metric = found[0][0].metric
    return [_shapley(found, metric), *_interaction(found, metric)]


def _shapley(found: Sequence[Contributing], metric: str) -> Chart:
    ids, parts = [row.id for row, _ in found], [c for _, c in found]
    modalities = dict.fromkeys(m for c in parts for m in c["shapley"])
    data = [
        bars(i, m, ids, [c["shapley"].get(m, 0.0) for c in parts]) for i, m in enumerate(modalities)
    ]
    drawn = figure(
        data,
        title(f"{metric} brought", zeroline=True, showgrid=True),
        _rows_axis(found),
        barmode="relative",
        height=HEIGHT + BAR * len(found),
    )
    caption = (
        "Shapley values: a modality's share of what the model scores above knowing none of them, "
        "averaged over every order of adding it."
    )
    return Chart("shapley", "What each modality brings", caption, [View("Shapley", drawn)])


def _interaction(found: Sequence[Contributing], metric: str) -> list[Chart]:
    values = {row.id: value for row, c in found if (value := c["interaction"]) is not None}
    if not any(round(value, 9) for value in values.values()):  # rounding leaves some 1e-17
        return []
    bar = bars(0, "interaction", list(values), list(values.values()))
    bar |= {"text": [signed(value) for value in values.values()], "textposition": "auto"}
    drawn = figure(
        [bar],
        title(f"{metric} lost without interaction", zeroline=True, showgrid=True),
        _rows_axis([(row, c) for row, c in found if row.id in values]),
        height=HEIGHT + BAR * len(values),
        showlegend=False,
    )
    caption = (
        "The score less that of the best additive stand-in (EMAP), on a sample of rows: what no "
        "sum of the modalities could reach."
    )
    return [Chart("interaction", "What only interaction brings", caption, [View("EMAP", drawn)])]


def _rows_axis(found: Sequence[Contributing]) -> dict[str, Any]:
    """Rows from the top down by their ids, which differ, under the names of their fusions."""
    return {
        "type": "category",
        "autorange": "reversed",
        "showgrid": False,
        "tickvals": [row.id for row, _ in found],
        "ticktext": [label(row.fusion, 24) for row, _ in found],
    }
