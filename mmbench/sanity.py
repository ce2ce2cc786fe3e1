"""A trial whose labels mean nothing: it must fall to chance, or something leaks.

The labels of the training part are permuted over its rows, and those of validation for the choice
of the epoch (true ones choose an epoch that happens to be right, of a few people's windows well
above chance on test too); all else is as ever. What is still learnt of validation and test, whose
true labels judge, came in by another way than training (Ojala & Garriga, "Permutation
tests for studying classifier performance", JMLR 2010; Zhang et al., ICLR 2017, for training on
random labels).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmbench.contracts import Metric
from mmbench.evaluation.estimates import Interval
from mmbench.evaluation.intervals import bootstrap
from mmbench.parts import PARTS
from mmbench.plugins import Plugins
from mmbench.resolve import resolve
from mmbench.seeds import stream
from mmbench.sequences import commonest_sequence, commonest_tokens
from mmbench.spec import TrialSpec
from mmbench.training import predict
from mmbench.trial import Workbench, data_key, main_metric, ready, train_trial
from mmbench.types import Part, Split, Task

DEALT: tuple[Part, ...] = ("train", "val")
SCORED: tuple[Part, ...] = ("val", "test")
LEVEL = 0.99
"""Of the interval that chance must lie in."""
SHUFFLES = 20


@dataclass(frozen=True, slots=True)
class Fallen:
    """What training on permuted labels scored on one part."""

    part: Part
    score: Interval
    chance: float
    """The better of the best constant answer and of the same predictions for shuffled rows."""
    sane: bool
    """Not above chance by more than noise."""


def permuted(split: Split, seed: int) -> Split:
    """The same rows with their targets dealt anew."""
    dealt = torch.randperm(len(split), generator=stream(seed, "data"))
    return replace(split, target=split.target[dealt])


def parted(split: Split, seed: int) -> Split:
    """The same pairs with their second sides, and the items that they are, dealt anew."""
    dealt = torch.randperm(len(split), generator=stream(seed, "data"))
    first, second = split.columns
    target = torch.stack([split.target[:, 0], split.target[dealt, 1]], dim=1)
    columns = {first: split.columns[first], second: split.columns[second].dealt(dealt)}
    return replace(split, columns=columns, target=target)


def fall_to_chance(
    spec: TrialSpec, seeds: Sequence[int], plugins: Plugins, bench: Workbench
) -> list[Fallen]:
    """Train once per seed, each with a permutation of its own; score on validation and test."""
    resolved = resolve(spec, plugins)
    parts = {part: bench.load(resolved, part) for part in PARTS}
    deal = permuted if resolved.task.fuses else parted
    scores: dict[Part, list[Tensor]] = {part: [] for part in SCORED}
    for seed in seeds:
        for part in DEALT:
            bench.loaded[data_key(resolved), part] = deal(parts[part], seed)
        trained = train_trial(spec.with_seed(seed), plugins, bench)
        encoders = trained.model.encoders_by_modality
        for part in SCORED:
            given = ready(parts[part], part, trained.resolved, encoders, bench)
            scores[part].append(predict(trained.model, given, bench.device))
    for part in DEALT:
        bench.loaded[data_key(resolved), part] = parts[part]
    metric = main_metric(resolved, plugins)
    return [judged(part, scores[part], parts[part], resolved.task, metric) for part in SCORED]


def judged(
    part: Part, scores: Sequence[Tensor], split: Split, task: Task, metric: Metric
) -> Fallen:
    """Whether scores (rows, n_outputs) of each seed are no better than chance on ``split``."""
    score = bootstrap(metric, scores, split.target, source=split.source, level=LEVEL)
    chance = chance_level(scores, split, task, metric)
    sane = score.low <= chance if metric.higher_is_better else score.high >= chance
    return Fallen(part, score, chance, sane)


def chance_level(scores: Sequence[Tensor], split: Split, task: Task, metric: Metric) -> float:
    """What can be had without a look at the rows: neither rule wins for every metric."""
    generator, shuffled = stream(0, "bootstrap"), []
    for i in range(SHUFFLES):
        rows = torch.randperm(len(split), generator=generator)
        said = _of_other_rows(scores[i % len(scores)], rows, task)
        shuffled.append(float(metric(said, split.target)))
    ways = [float(metric(said, split.target)) for said in constants(split, task)]
    ways.append(sum(shuffled) / SHUFFLES)
    return max(ways) if metric.higher_is_better else min(ways)


def _of_other_rows(scores: Tensor, rows: Tensor, task: Task) -> Tensor:
    """What was said of ``rows``; of pairs, their second sides beside the first ones as they are."""
    if task.fuses:
        return scores[rows]
    first, second = scores.chunk(2, dim=1)
    return torch.cat([first, second[rows]], dim=1)


def constants(split: Split, task: Task) -> list[Tensor]:
    """(rows, n_outputs) the best answers that are the same for every row: shares, or the mean.

    Of sequences the commonest one, and the commonest tokens, which may be none.
    """
    target = split.target
    if not task.fuses:
        return [torch.zeros(len(target), 2)]
    if task.target == "classification":
        answers = [torch.bincount(target, minlength=task.n_outputs).float().clamp(min=0.5).log()]
    elif task.target == "sequence":
        ways = (commonest_sequence, commonest_tokens)
        answers = [way(target, len(task.outputs)) for way in ways]
    elif task.target == "multilabel":
        answers = [torch.logit(target.float().mean(0), eps=1e-6)]
    else:
        answers = [target.float().view(len(target), -1).mean(0)]
    return [answer.expand(len(target), -1).contiguous() for answer in answers]
