"""The page of a row: every figure, what it is made of, and how to run it again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from mmbench.leaderboard import cells, robustness_table
from mmbench.leaderboard.commands import needs, rerun_command, verify_command
from mmbench.leaderboard.rank import Standing
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.site.board_table import row_page
from mmbench.leaderboard.site.class_charts import confusion_lines, reliability_chart
from mmbench.leaderboard.site.contribution_charts import contributions
from mmbench.leaderboard.site.page import Page
from mmbench.leaderboard.site.robustness_charts import robustness_of_one
from mmbench.leaderboard.site.tuning_charts import search_behind
from mmbench.leaderboard.site.verdict import verdict

STAGES = ("transfer", "encoders", "fusion", "head")
"""Of a request, in order."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the latency at one batch size."""

    name: str
    ms: float
    share: float
    """Percent of the sum of all stages' medians."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Latency of requests of one size."""

    name: str
    whole: float | None
    stages: Sequence[Stage]


def pages_of_rows(
    standings: Sequence[Standing], boards: PurePosixPath, parent: tuple[str, str], folder: str = ""
) -> list[Page]:
    """A page for each; ``parent`` is the name and path of the page that leads here."""
    return [_page(standing, boards, parent, folder) for standing in standings]


def _page(standing: Standing, boards: PurePosixPath, parent: tuple[str, str], folder: str) -> Page:
    row = standing.row
    path = f"{folder}/{row.id}.html" if folder else row_page(row)
    content = {
        "row": row,
        "standing": standing,
        "parent": parent,
        "json_path": path.removesuffix(".html") + ".json",
        "verdict": verdict(row),
        "rerun": rerun_command(row, boards),
        "verify": verify_command(row, boards),
        "needs": needs(row),
        "batches": _batches(row.cost),
        "weights": _weights(row),
        "further": _further(row),
        "robustness": robustness_of_one(row),
        "robust_figure": robustness_table.figure,
        "contributions": contributions([row]),
        "confusion": confusion_lines(row),
        "reliability": reliability_chart(row),
        "searched": search_behind(row),
        "search": _search(row),
        "parts": _parts(row),
    }
    title = f"{row.fusion} on {row.task}, {row.id}"
    if folder:  # of a comparison, which may share the row with the board
        title += f" in {parent[0]}"
    return Page(path, title, "row.html", content)


def _batches(cost: Mapping[str, Any]) -> list[Batch]:
    """``cost`` is free-form in a row's file: what is not as expected is left out."""
    batches = []
    for name, parts in _mapping(cost, "latency").items():
        if name.startswith("batch_") and isinstance(parts, dict):
            known = {s: ms for s in STAGES if (ms := _number(parts, s, "ms_p50")) is not None}
            total = sum(known.values()) or 1.0
            stages = [Stage(s, ms, round(100 * ms / total, 2)) for s, ms in known.items()]
            whole = _number(parts, "whole", "ms_p50")
            batches.append(Batch(name.replace("_", " "), whole, stages))
    return batches


def _weights(row: Row) -> list[tuple[str, int]]:
    """Parameters of each encoder, of the fusion, and of the rest (head, objective)."""
    encoders = _mapping(_mapping(row.cost, "memory"), "parameters_encoders")
    parts = [(f"{m} encoder", n) for m, n in encoders.items() if isinstance(n, int)]
    parts.append(("fusion", row.fusion_parameters))
    rest = row.parameters - sum(n for _, n in parts)
    return [*parts, ("head and rest", rest)] if rest > 0 else parts


def _further(row: Row) -> list[tuple[str, str]]:
    """Other costs that were measured."""
    rate = _mapping(row.cost, "latency").get("throughput_rows_per_s")
    training = _mapping(_mapping(row.cost, "memory"), "training")
    peak, size = _number(training, "peak_memory_mib"), training.get("batch_size")
    return [
        ("Peak memory, one request", f"{cells.memory_cell(row)} MiB"),
        *([(f"… training on {size} rows, kernels loaded", f"{peak:,.1f} MiB")] if peak else []),
        *([("FLOPs of one sample", cells.count(row.flops))] if row.flops is not None else []),
        *([("Throughput", f"{rate:,.0f} samples/s")] if isinstance(rate, int | float) else []),
        ("Training", f"{row.train_seconds:,.1f} s per seed"),
        ("Hardware", row.hardware),
    ]


def _parts(row: Row) -> list[tuple[str, str, str]]:
    """Kind, name and settings of each component of the spec."""
    spec = row.spec
    named = [(f"{m} encoder", part) for m, part in _mapping(spec, "encoders").items()]
    named += [
        (kind, spec[kind]) for kind in ("task", "fusion", "head", "objective") if kind in spec
    ]
    parts = [
        (kind, str(part.get("name", "")), _settings(_mapping(part, "params")))
        for kind, part in named
        if isinstance(part, dict)
    ]
    return [*parts, ("training", "", _settings(_mapping(spec, "train")))]


def _search(row: Row) -> list[tuple[str, str]]:
    """How the configuration was found, in figures."""
    return [
        (name.replace("_", " "), str(value))
        for name, value in row.search.items()
        if isinstance(value, str | int | float)
    ]


def _settings(params: Mapping[str, Any]) -> str:
    shown = {name: '""' if value == "" else value for name, value in params.items()}
    return ", ".join(f"{name} = {value}" for name, value in shown.items())


def _mapping(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = data.get(key)
    return found if isinstance(found, dict) else {}


def _number(data: Mapping[str, Any], *keys: str) -> float | None:
    *outer, last = keys
    for key in outer:
        data = _mapping(data, key)
    found = data.get(last)
    return float(found) if isinstance(found, int | float) else None
