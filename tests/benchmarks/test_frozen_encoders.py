"""Trials per minute with frozen encoders: features kept against a loop that encodes every time.

Run with ``pytest tests/benchmarks/test_frozen_encoders.py -m slow -s``.
"""

import time
from pathlib import Path

import pytest
import torch

from mmbench import trial
from mmbench.feature_cache import FeatureCache
from mmbench.features import prepare
from mmbench.plugins import load_plugins
from mmbench.spec import Component, TrainSpec, TrialSpec
from mmbench.trial import Workbench, train_trial

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

EPOCHS = 5
FUSIONS = ("product", "concat", "gated")


def spec(fusion: str) -> TrialSpec:
    frozen = Component("timm", {"model": "resnet10t", "frozen": True})
    return TrialSpec(
        Component("vqa"),
        {"image": frozen, "question": Component("bag-of-words")},
        Component(fusion),
        Component("mlp"),
        train=TrainSpec(max_epochs=EPOCHS, patience=EPOCHS, batch_size=512),
    )


def seconds_and_scores(fusions: tuple[str, ...], bench: Workbench) -> tuple[float, list[float]]:
    start = time.process_time()
    scores = [train_trial(spec(f), load_plugins(), bench).fitted.score for f in fusions]
    return (time.process_time() - start) / len(fusions), scores


def test_ten_times_the_trials_at_equal_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with the one encoding that the first trial pays for shared out over 48 trials."""
    bench = Workbench(torch.device("cpu"), FeatureCache(tmp_path))
    first, _ = seconds_and_scores(FUSIONS[:1], bench)
    kept, scores = seconds_and_scores(FUSIONS, bench)
    monkeypatch.setattr(trial, "precompute", lambda split, encoders, *_: prepare(split, encoders))
    live, expected = seconds_and_scores(FUSIONS[:1], bench)
    shared = kept + (first - kept) / 48
    print(f"\nlive {live:.1f} s, first {first:.1f} s, kept {kept:.2f} s: {live / kept:.1f} ×")
    print(f"over a search of 48 trials, encoding once: {live / shared:.1f} ×")
    assert scores[0] == pytest.approx(expected[0], abs=2e-3)
    assert live >= 10 * shared
