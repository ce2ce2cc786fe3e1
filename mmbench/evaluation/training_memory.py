"""The peak memory of training a saved model, in the process that measures what it costs.

The training that counts cannot say it: there, seeds train side by side, in a process that has held
others before.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mmbench.compression import AS_TRAINED
from mmbench.errors import brief
from mmbench.evaluation.memory import PeakMemory, figures, held_mib, release_freed_memory
from mmbench.features import encode_in_batches
from mmbench.model import build_objective
from mmbench.plugins import Plugins
from mmbench.resolve import resolve
from mmbench.saved import Elsewhere, SavedModel, load_model
from mmbench.training import Trainer
from mmbench.types import Column, LazyValues, Split

STEPS = 3


def measure_training(folder: Path, plugins: Plugins, device: torch.device) -> dict[str, Any]:
    """A few steps and one look at validation, as the model was trained; its requests are the data.

    ``batch_size`` and ``peak_memory_mib``, of which the data are no part, nor what a first training
    leaves in the process. Frozen encoders are held and do not run: training reads from the cache
    what they say. ``reason`` instead of a figure where the model cannot be trained.
    """
    saved = load_model(folder, plugins, device)
    if saved.compression != AS_TRAINED:
        return {"reason": f"the model is {saved.compression}"}
    requests = _as_training_reads(saved)
    size = saved.spec.train.batch_size
    train = requests.rows(torch.arange(STEPS * size) % len(requests)).to(device)
    try:
        _train(saved, plugins, device, train, requests)  # imports what a metric or paradigm needs
        del saved
        release_freed_memory()
        baseline_mib = held_mib(device)
        saved = load_model(folder, plugins, device)
        with PeakMemory(device, baseline_mib) as peak:
            _train(saved, plugins, device, train, requests)
    except Exception as error:  # noqa: BLE001 - a paradigm may need more than a few rows
        return {"reason": brief(error)}
    return {"batch_size": size, **figures(peak)}


def _as_training_reads(saved: SavedModel) -> Split:
    """The requests, with what frozen encoders say of them."""
    encoders, columns = saved.model.encoders_by_modality, dict(saved.requests.columns)
    for modality, encoder in encoders.items():
        if encoder.frozen:
            values = columns[modality].values
            assert isinstance(values, torch.Tensor | LazyValues)
            columns[modality] = Column(encode_in_batches(encoder, values), columns[modality].index)
    return replace(saved.requests, columns=columns)


def _train(
    saved: SavedModel, plugins: Plugins, device: torch.device, train: Split, val: Split
) -> None:
    objective = build_objective(resolve(saved.spec, plugins, Elsewhere(saved.task)), saved.model)
    once = replace(saved.spec.train, max_epochs=1)
    metric = plugins.metrics[saved.task.metric]()
    trainer = Trainer(once, objective, metric, saved.spec.seed, device)
    trainer.fit(saved.model, train, val, None, _unheard)


def _unheard(_epoch: int, _values: dict[str, float]) -> None:
    """Nobody listens to this training."""
