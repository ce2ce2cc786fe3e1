"""Rows for the tests of the site: drawn at random, every optional field filled."""

import random
from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path
from typing import Any

from test_leaderboard import make_row

from mmbench.leaderboard.diagnoses import (
    Contribution,
    Reliability,
    Robustness,
    predictions_file,
)
from mmbench.leaderboard.row import Row
from mmbench.leaderboard.row_files import read_rows

MODALITIES = ("image", "question", "sound")
FUSIONS = ("gated", "product", "lowrank", "mutan", "film", "cross-attention", "perceiver", "mult")
BOARDS = Path(__file__).parents[1] / "leaderboards"
COMMITTED = [row for task in sorted(BOARDS.glob("[!.]*")) for row in read_rows(task)[0]]
CLASSES = ("circle", "square", "a long name", "none")
NOISES = ("gaussian", "blur", "dropped")


def full_rows(n: int, task: str = "stamps", seed: int = 0, metric: str = "accuracy") -> list[Row]:
    """``n`` fusions and then the references; scores, costs and diagnoses follow from ``seed``."""
    draw = random.Random(seed)
    history = [
        {"number": i, "state": "finished", "value": 0.5 + 0.4 * draw.random(), "fusion": "gated"}
        for i in range(30)
    ]
    history[3] |= {"state": "failed", "value": None, "fusion": None}
    search = {"study": f"{task}-study", "trials": 30, "history": history}
    rows = [_fusion_row(i, draw) for i in range(n)]
    rows += [_reference(n + i, name, draw) for i, name in enumerate(_references())]
    own = [{"trial": i} if i < 3 else {} for i in range(len(rows))]
    return [
        _on(replace(row, search={**search, **known}), task, metric)
        for row, known in zip(rows, own, strict=True)
    ]


def over_another_single() -> list[Row]:
    """A fusion whose gain is over a single modality that is not the board's best."""
    alone = {"fusion": "only-question", "encoders": {"question": "bow"}, "gain": None}
    low = {"mean": 0.5, "per_seed": [0.5] * 3}
    return [
        make_row(901, 0.8, **alone),
        make_row(902, 0.7, validation=low, **alone),
        make_row(903, 0.9, search={"single": {"id": f"{902:012x}", "sha256": ""}}),
    ]


def _references() -> list[str]:
    return ["concat", "majority", *(f"only-{m}" for m in MODALITIES)]


def _on(row: Row, task: str, metric: str) -> Row:
    quality = {metric: row.quality["accuracy"], "macro-f1": row.quality["macro-f1"]}
    return replace(row, task=task, metric=metric, quality=quality)


def _fusion_row(i: int, draw: random.Random) -> Row:
    score = draw.uniform(0.75, 0.93)
    mean = score - 0.8
    spread = draw.uniform(0.01, 0.04)
    name = FUSIONS[i % len(FUSIONS)]
    gain = {"over": "only-image", "mean": mean, "low": mean - spread, "high": mean + spread}
    return _full(i, name, score, draw, gain=gain, hardware="NVIDIA H200" if i % 5 == 4 else "CPU")


def _reference(i: int, name: str, draw: random.Random) -> Row:
    scores = {"concat": 0.86, "majority": 0.3, "only-image": 0.8}
    return _full(i, name, scores.get(name, 0.6), draw, reference=True, hardware="CPU", gain=None)


def _full(i: int, fusion: str, score: float, draw: random.Random, **changes: Any) -> Row:
    p50, spread = draw.uniform(0.2, 12), draw.uniform(0.004, 0.02)
    seeds = [101] if i % 9 == 8 else [101, 102, 103, 104, 105][: 5 if i % 4 == 1 else 3]
    per_seed = [score + draw.uniform(-spread, spread) for _ in seeds]
    quality = {
        "accuracy": {"mean": score, "low": score - spread, "high": score + spread},
        "macro-f1": {"mean": score - 0.03, "low": None, "high": None},
    }
    return make_row(
        i,
        seeds=seeds,
        fusion=fusion,
        encoders={"image": "cnn", "question": "bag-of-words", "sound": "conv1d"},
        quality={name: {**q, "per_seed": per_seed} for name, q in quality.items()},
        validation={"mean": score + 0.01, "per_seed": [s + 0.01 for s in per_seed]},
        slices=_slices(score, draw),
        latency_ms_p50=p50,
        latency_ms_p90=p50 * 1.2,
        latency_ms_p95=p50 * 1.4,
        peak_memory_mib=draw.uniform(5, 400),
        parameters=draw.randrange(10_000, 9_000_000),
        fusion_parameters=draw.randrange(10_000),
        cost=_cost(p50),
        robustness=_robustness(score, draw),
        contribution=_contribution(score, draw),
        representation={"nmi": 0.61, "ari": 0.52, "silhouette": 0.18},
        predictions={"file": predictions_file(f"{i:012x}"), "sha256": "0" * 64},
        outputs=list(CLASSES),
        confusion=_confusion(score, draw, 100 * len(seeds)),
        reliability=_reliability(draw),
        **changes,
    )


def _confusion(score: float, draw: random.Random, rows: int) -> list[list[int]]:
    """``rows`` of each class; so many are right as the score says."""
    lines = []
    for true in range(len(CLASSES)):
        taken = [true if draw.random() < score else draw.randrange(4) for _ in range(rows)]
        lines.append([taken.count(c) for c in range(len(CLASSES))])
    return lines


def _reliability(draw: random.Random) -> Reliability:
    """Sixteen edges; nobody is less than a quarter sure of the likeliest of four classes."""
    rows = [0] * 4 + [draw.randrange(5, 20 * k) for k in range(4, 15)]
    confidence = [(k + 0.5) / 15 if n else None for k, n in enumerate(rows)]
    return {
        "edges": [k / 15 for k in range(16)],
        "rows": rows,
        "confidence": confidence,
        "accuracy": [None if c is None else c * draw.uniform(0.7, 1) for c in confidence],
    }


def _slices(score: float, draw: random.Random) -> dict[str, Any]:
    kinds = ("yes/no", "colour", "shape", "count")
    return {
        "question_type": {
            kind: {"rows": 1000 * (k + 1), "score": score - draw.uniform(0, 0.3)}
            for k, kind in enumerate(kinds)
        }
    }


def _cost(p50: float) -> dict[str, Any]:
    shares = {"transfer": 0.02, "encoders": 0.7, "fusion": 0.2, "head": 0.08, "whole": 1.0}
    stages = {name: {"ms_p50": p50 * share} for name, share in shares.items()}
    return {
        "latency": {"batch_1": stages, "batch_32": stages, "throughput_rows_per_s": 751466.5},
        "memory": {
            "parameters_encoders": {"image": 5000, "question": 2000},
            "training": {"batch_size": 128, "peak_memory_mib": 12.5},
        },
    }


def _robustness(clean: float, draw: random.Random) -> Robustness:
    falls = {m: draw.uniform(0.05, 0.5) for m in MODALITIES}
    curves = {
        m: {kind: [clean - falls[m] * (s / 5) ** 1.5 / (k + 1) for s in range(6)]
            for k, kind in enumerate(NOISES)}
        for m in MODALITIES
    }  # fmt: skip
    areas = {f"{m}/{k}": sum(y) / 6 for m, kinds in curves.items() for k, y in kinds.items()}
    return {
        "rows": 2000,
        "clean": clean,
        "missing": {m: clean - fall for m, fall in falls.items()},
        "missing_share": {
            m: [[share, clean - fall * share] for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
            for m, fall in falls.items()
        },
        "corrupted": curves,
        "shuffled": {m: clean - 0.7 * fall for m, fall in falls.items()},
        "conflict": {m: clean - 0.9 * fall for m, fall in falls.items()},
        "area": {**areas, "all": sum(areas.values()) / len(areas)},
    }


def _contribution(clean: float, draw: random.Random) -> Contribution:
    parts = [draw.uniform(-0.05, 0.4) for _ in MODALITIES]
    interaction = draw.uniform(0, 0.2)
    every = chain.from_iterable(combinations(MODALITIES, k) for k in range(len(MODALITIES) + 1))
    return {
        "rows": 2000,
        "subsets": {"+".join(s): 0.2 + 0.2 * len(s) for s in every},
        "shapley": dict(zip(MODALITIES, parts, strict=True)),
        "emap": clean - interaction,
        "interaction": interaction,
        "gradient_share": {m: 1 / len(MODALITIES) for m in MODALITIES},
        "weights": {m: draw.random() for m in MODALITIES},
    }
