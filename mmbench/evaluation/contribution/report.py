"""The whole report on what each modality brings, as JSON."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from mmbench.contracts import Metric, Outputs
from mmbench.evaluation.contribution.emap import additive_projection, largest_prime
from mmbench.evaluation.contribution.gradients import gradient_share
from mmbench.evaluation.contribution.missing import only
from mmbench.evaluation.contribution.shapley import MOST_EXACT, Subset, shapley, subsets
from mmbench.evaluation.flops import first_present, operations
from mmbench.model import FusionModel
from mmbench.types import Encoded, Features, Split, Task

BATCH = 256
GRADIENT_ROWS = 256
EMAP_ROWS = (251, 127, 61)
"""As many rows, prime numbers, as the model is cheap enough for: EMAP takes them squared."""
EMAP_OPERATIONS = 3e10
"""On one core about two seconds."""
BYTES_AT_ONCE = 32 * 2**20


def contribution(
    model: FusionModel, split: Split, task: Task, metric: Metric
) -> dict[str, Any] | None:
    """What each modality brings to ``metric`` on ``split``: prepared rows, on the model's device.

    Fields are those of ``mmbench.leaderboard.diagnoses.Contribution``. None for a model that reads
    no modality, and where modalities do not answer together. ``ArithmeticError`` if the metric is
    not defined with some modalities missing.
    """
    if not (model.encoders and task.fuses):
        return None
    model.eval()
    with torch.no_grad():
        features, target = model.encode(split), split.target
        game = _game(model, features, target, metric)
        values = shapley(tuple(features), game)
        emap = _emap(model, features, target, metric)
        weights = [outputs.weights for outputs in _answers(model, features)]
    few = torch.linspace(0, len(split) - 1, min(len(split), GRADIENT_ROWS)).long()
    return {
        "rows": len(split),
        "subsets": {"+".join(s): game(s) for s in _reported(tuple(features))},
        "shapley": values,
        **emap,
        "gradient_share": gradient_share(
            model, _rows(features, few), target[few.to(target.device)], task.target
        ),
        "weights": _mean_weights(weights, tuple(model.fusion.dims)),
    }


def _rows(features: Features, rows: Tensor) -> Features:
    return {m: f[rows.to(f.tokens.device)] for m, f in features.items()}


def _answers(
    model: FusionModel, features: Features, present: Collection[str] | None = None
) -> Iterator[Outputs]:
    """What the model says of all rows, batch by batch, with only some modalities present."""
    total = len(next(iter(features.values())))
    for rows in torch.arange(total).split(BATCH):
        yield model.respond(only(_rows(features, rows), features if present is None else present))


def _game(
    model: FusionModel, features: Features, target: Tensor, metric: Metric
) -> Callable[[Subset], float]:
    @cache
    def play(present: Subset) -> float:
        scores = torch.cat([o.scores for o in _answers(model, features, present)])
        score = _score(scores, target, metric)
        if score is None:
            there = "+".join(present) or "no modality"
            raise ArithmeticError(f"{metric.name} is not a finite number with {there} present.")
        return score

    return play


def _score(scores: Tensor, target: Tensor, metric: Metric) -> float | None:
    """None where the scores, or what the metric makes of them, are not finite."""
    if not scores.isfinite().all():
        return None
    score = torch.tensor(metric(scores.float().cpu(), target.cpu()), dtype=torch.float64)
    return score.item() if score.isfinite() else None


def _reported(modalities: Sequence[str]) -> list[Subset]:
    """All subsets; or, beyond six modalities, none, each alone, and all."""
    if len(modalities) <= MOST_EXACT:
        return subsets(modalities)
    return [(), *((m,) for m in modalities), tuple(modalities)]


def _emap(
    model: FusionModel, features: Features, target: Tensor, metric: Metric
) -> dict[str, float | None]:
    """The score of the additive stand-in, and how far that of the model is above it."""
    unknown: dict[str, float | None] = {"emap": None, "interaction": None}
    n = _emap_rows(model, features, len(target))
    if n == 0:
        return unknown
    draw = torch.Generator().manual_seed(0)  # so that no order in the rows meets that of the array
    chosen = torch.randperm(len(target), generator=draw)[:n]
    few, truth = _rows(features, chosen), target[chosen.to(target.device)]

    def mixed(taken: Sequence[Tensor]) -> Tensor:
        pairs = zip(few, taken, strict=True)
        return model.respond({m: few[m][which.to(truth.device)] for m, which in pairs}).scores

    at_once = BYTES_AT_ONCE // sum(_bytes_per_row(f) for f in few.values())
    emap = _score(additive_projection(mixed, n, len(few), at_once), truth, metric)
    clean = _score(model.respond(few).scores, truth, metric)
    if emap is None or clean is None:
        return unknown
    return {"emap": emap, "interaction": clean - emap}


def _emap_rows(model: FusionModel, features: Features, available: int) -> int:
    """The most rows whose pairs cost no more than ``EMAP_OPERATIONS``, or 0."""
    one = {m: encoded[first_present(encoded)] for m, encoded in features.items()}
    each = operations(model, lambda: model.respond(one))
    affordable = [n for n in EMAP_ROWS if n * n * each <= EMAP_OPERATIONS]
    n = largest_prime(min(affordable[0], available)) if affordable else 0
    return n if n >= len(features) else 0


def _bytes_per_row(feature: Encoded) -> int:
    return int(feature.tokens[0].nbytes + feature.pooled[0].nbytes)


def _mean_weights(
    batches: Sequence[Tensor | None], modalities: Sequence[str]
) -> Mapping[str, float] | None:
    """The mean over all rows of what the fusion reports (rows, modality), if it does."""
    reported = [weights for weights in batches if weights is not None]
    if not reported:
        return None
    return dict(zip(modalities, torch.cat(reported).double().mean(0).tolist(), strict=True))
