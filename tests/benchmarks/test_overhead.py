"""Ratios within one run: our loop against a bare one, cached features against live ones.

Run them with ``pytest tests/benchmarks -m slow -s``; absolute times here mean little.
"""

import statistics
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from mmbench.batching import epoch_order, groups_of
from mmbench.features import FeatureCache, prepare
from mmbench.model import build_model, build_objective
from mmbench.plugins import load_plugins
from mmbench.resolve import Resolved, resolve
from mmbench.seeds import stream
from mmbench.spec import Component, TrainSpec, TrialSpec
from mmbench.training import Trainer, learning_rate
from mmbench.trial import Workbench, fit_encoders, main_metric, train_trial
from mmbench.types import Split

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

VQA = TrialSpec(
    Component("vqa"),
    {"image": Component("cnn"), "question": Component("bag-of-words")},
    Component("product"),
    Component("mlp"),
    train=TrainSpec(max_epochs=1),
)
SYNERGY = TrialSpec(
    Component("synergy"),
    {"a": Component("mlp"), "b": Component("mlp")},
    Component("product"),
    Component("mlp"),
    train=TrainSpec(max_epochs=1),
)


def parts(spec: TrialSpec) -> tuple[Resolved, Split, Split, nn.Module]:
    resolved = resolve(spec, load_plugins())
    train = resolved.dataset.load("train")
    encoders = fit_encoders(resolved, train)
    return resolved, train, prepare(train, encoders), build_model(resolved, encoders)


def ours(spec: TrialSpec) -> float:
    """Seconds of one epoch of our loop."""
    resolved, train, prepared, model = parts(spec)
    objective = build_objective(resolved, model)
    metric = main_metric(resolved, load_plugins())
    trainer = Trainer(resolved.spec.train, objective, metric, 0, torch.device("cpu"))
    rows = epoch_order(len(train), groups_of(train), stream(0, "batches"))
    steps = -(-len(train) // resolved.spec.train.batch_size)
    optimizer = trainer.optimizer(model)
    start = time.process_time()
    trainer.train_epoch(model, prepared, rows, optimizer, 0, steps)
    return time.process_time() - start


def bare(spec: TrialSpec) -> float:
    """Seconds of one epoch as one would write it for this model alone, with batches laid out."""
    resolved, train, prepared, model = parts(spec)
    settings = resolved.spec.train
    rows = epoch_order(len(train), groups_of(train), stream(0, "batches"))
    names = list(resolved.encoders)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, fused=True)
    index = {m: prepared.columns[m].index for m in names}
    values = {m: prepared.columns[m].values for m in names}
    model.train()
    start = time.process_time()
    chunks = rows.split(settings.batch_size)
    for step, chunk in enumerate(chunks):
        optimizer.param_groups[0]["lr"] = learning_rate(settings, step, len(chunks))
        features = {}
        for m in names:
            if index[m] is None:
                features[m] = model.encoders[m](values[m][chunk])
            else:
                used, inverse = index[m][chunk].unique(return_inverse=True)
                features[m] = model.encoders[m](values[m][used])[inverse]
        scores = model.head(model.fusion(features))
        loss = nn.functional.cross_entropy(scores, prepared.target[chunk])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimizer.step()
    return time.process_time() - start


@pytest.mark.parametrize("spec", [VQA, SYNERGY], ids=["vqa", "synergy"])
def test_the_loop_costs_at_most_a_twentieth_more_than_a_bare_one(spec: TrialSpec) -> None:
    ours(spec), bare(spec)
    times = 5 if spec is VQA else 25  # an epoch of the small one takes a tenth of a second
    ratios = [ours(spec) / bare(spec) for _ in range(times)]
    print(f"\n{spec.task.name}: loop / bare = {statistics.median(ratios):.3f}")
    assert statistics.median(ratios) <= 1.05


def test_cached_features_make_the_second_trial_five_times_as_fast(tmp_path: Path) -> None:
    frozen = Component("timm", {"model": "resnet10t", "frozen": True})
    spec = TrialSpec(
        VQA.task,
        {"image": frozen, "question": Component("bag-of-words")},
        Component("product"),
        Component("mlp"),
        train=TrainSpec(max_epochs=1),
    )
    bench = Workbench(torch.device("cpu"), FeatureCache(tmp_path))
    seconds = []
    for _ in range(2):
        start = time.process_time()
        train_trial(spec, load_plugins(), bench)
        seconds.append(time.process_time() - start)
    print(f"\nfirst {seconds[0]:.1f} s, second {seconds[1]:.1f} s: {seconds[0] / seconds[1]:.1f} ×")
    assert seconds[0] >= 5 * seconds[1]


def test_grouping_rows_by_image_pays() -> None:
    resolved, train, prepared, model = parts(VQA)
    objective = build_objective(resolved, model)
    metric = main_metric(resolved, load_plugins())
    trainer = Trainer(resolved.spec.train, objective, metric, 0, torch.device("cpu"))
    optimizer = trainer.optimizer(model)
    seconds = []
    for groups in (groups_of(train), None):
        rows = epoch_order(len(train), groups, stream(0, "batches"))[:8192]
        part = Split(prepared.columns, prepared.target)
        start = time.process_time()
        trainer.train_epoch(model, part, rows, optimizer, 0, 64)
        seconds.append(time.process_time() - start)
    print(f"\ngrouped {seconds[0]:.1f} s, ungrouped {seconds[1]:.1f} s")
    assert seconds[1] >= 3 * seconds[0]
