"""How scores fall when modalities go missing or grow noisy: of many rows, and of one."""

from collections.abc import Iterable, Sequence
from typing import Any

from mmbench.leaderboard.diagnoses import Robustness
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.site.charts import SERIES, Chart, View, curve, figure, title

Named = Sequence[tuple[str, Robustness]]


def robustness_of_many(rows: Sequence[Row]) -> list[Chart]:
    """One chart, a line for each of the best rows and a view for each disturbance."""
    named = [(row.fusion, row.robustness) for row in _different(rows) if row.robustness][:SERIES]
    if not named:
        return []
    metric = rows[0].metric
    views = [
        *(_missing_view(m, named, metric) for m in _keys(r["missing_share"] for _, r in named)),
        *(
            _noise_view(m, kind, named, metric)
            for m in _keys(r["corrupted"] for _, r in named)
            for kind in _keys(r["corrupted"].get(m, {}) for _, r in named)
        ),
    ]
    caption = (
        f"The best row of each fusion and single modality, at most {SERIES}, on disturbed test "
        "rows. Flat is robust; every line starts at the clean score."
    )
    return [Chart("robustness", "Robustness", caption, views, "Disturbance")] if views else []


def robustness_of_one(row: Row) -> list[Chart]:
    """Missing values by modality, and noise by kind with a view for each modality."""
    if row.robustness is None:
        return []
    share, noise = row.robustness["missing_share"], row.robustness["corrupted"]
    lines = [
        curve(i, m, [x for x, _ in points], [y for _, y in points])
        for i, (m, points) in enumerate(share.items())
    ]
    missing = View("missing", figure(lines, _share_axis(), title(row.metric)))
    noisy = [
        View(
            m,
            figure(
                [curve(i, kind, range(len(y)), y) for i, (kind, y) in enumerate(kinds.items())],
                _severity_axis(),
                title(row.metric),
            ),
        )
        for m, kinds in noise.items()
    ]
    return [
        *([Chart("missing", "Missing values", "By modality.", [missing])] if share else []),
        *([Chart("noise", "Noise", "By kind.", noisy, "Modality")] if noisy else []),
    ]


def _missing_view(modality: str, named: Named, metric: str) -> View:
    lines = []
    for i, (name, robustness) in enumerate(named):
        points = robustness["missing_share"].get(modality, [])
        lines += [curve(i, name, [x for x, _ in points], [y for _, y in points])] if points else []
    return View(f"{modality} missing", figure(lines, _share_axis(), title(metric)))


def _noise_view(modality: str, kind: str, named: Named, metric: str) -> View:
    lines = []
    for i, (name, robustness) in enumerate(named):
        scores = robustness["corrupted"].get(modality, {}).get(kind, [])
        lines += [curve(i, name, range(len(scores)), scores)] if scores else []
    return View(f"{modality}: {kind}", figure(lines, _severity_axis(), title(metric)))


def _share_axis() -> dict[str, Any]:
    return title("share of test rows that miss it", tickformat=".0%")


def _severity_axis() -> dict[str, Any]:
    return title("severity", dtick=1)


def _different(rows: Sequence[Row]) -> list[Row]:
    """The first row of each fusion."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row.fusion, row)
    return list(first.values())


def _keys(mappings: Iterable[dict[str, Any]]) -> list[str]:
    """Every key once, in order of appearance."""
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))
