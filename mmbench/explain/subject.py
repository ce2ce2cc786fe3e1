"""One test sample before a trained model, and the question that is asked about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbench.contracts import Encoder
from mmbench.errors import Incompatible, InvalidParameter
from mmbench.features import prepare
from mmbench.loading import load_part
from mmbench.plugins import Plugins
from mmbench.resolve import Resolved, resolve
from mmbench.saved import SavedModel, load_model
from mmbench.space import NOWHERE_ELSE, Value
from mmbench.types import Features, Split, TargetKind


@dataclass(frozen=True, slots=True)
class Subject:
    """A model and one row of test, as the dataset loaded it and as the model reads it."""

    resolved: Resolved
    saved: SavedModel
    row: int
    raw: Split
    ready: Split
    output: int
    """Which output is explained: the class predicted, the likeliest label, the first number."""
    scores: Tensor  # (n_outputs,)

    @property
    def encoders(self) -> Mapping[str, Encoder]:
        return self.saved.model.encoders_by_modality

    @torch.no_grad()
    def scores_of(self, features: Features) -> Tensor:
        """(rows, n_outputs) what the model says of features that may have been altered."""
        return in_units(self.saved, self.saved.model.respond(features).scores)

    @property
    def kind(self) -> TargetKind:
        return self.resolved.task.target

    @property
    def names(self) -> tuple[str, ...]:
        return self.resolved.task.outputs


def subject(
    folder: Path,
    sample: int,
    plugins: Plugins,
    device: torch.device,
    places: Mapping[str, Value] = NOWHERE_ELSE,
) -> Subject:
    """The model in ``folder`` and row ``sample`` of the test part of its task.

    ``places``: where its data lie now.
    """
    saved = load_model(folder, plugins, device)
    resolved = resolve(saved.spec.moved(places), plugins)
    if not resolved.task.fuses:
        raise Incompatible(
            f"{resolved.spec.task.name} is {resolved.task.target}: an embedding is no answer to be "
            f"explained. `mmbench explain` takes tasks that all modalities answer together."
        )
    if resolved.task.target == "sequence":
        raise Incompatible(
            f"{resolved.spec.task.name} is sequence: it has one answer at each place. `mmbench "
            f"explain` takes tasks of which one output can be explained."
        )
    test = load_part(resolved.dataset, "test", resolved.spec.task.name)
    if not 0 <= sample < len(test):
        raise InvalidParameter(
            f"--sample {sample}: the test part of {resolved.spec.task.name} has {len(test):,} "
            f"rows. Allowed: 0 to {len(test) - 1}."
        )
    raw = test.rows(torch.tensor([sample]))
    ready = prepare(raw, saved.model.encoders_by_modality).to(device)
    with torch.no_grad():
        scores = in_units(saved, saved.model(ready).scores[0].cpu())
    output = 0 if resolved.task.target == "regression" else int(scores.argmax())
    return Subject(resolved, saved, sample, raw, ready, output, scores)


def in_units(saved: SavedModel, scores: Tensor) -> Tensor:
    """Numbers as the target of a table has them, not standardised; other scores as they are."""
    if saved.task.target != "regression" or saved.preprocessing is None:
        return scores
    mean, std = map(float, saved.preprocessing["scale"])
    return scores * std + mean


def log_probability(scores: Tensor, output: int, kind: TargetKind) -> Tensor:
    """(rows,) of an output, from scores (rows, n_outputs); the number itself for regression."""
    if kind == "classification":
        return scores.log_softmax(dim=1)[:, output]
    return F.logsigmoid(scores[:, output]) if kind == "multilabel" else scores[:, output]


def log_odds(scores: Tensor, output: int, kind: TargetKind) -> Tensor:
    """(rows,) log p / (1 − p) of an output; the number itself for regression.

    Unlike a probability it does not saturate: what makes a sure answer surer still shows.
    """
    if kind != "classification":
        return scores[:, output]
    others = torch.arange(scores.shape[1], device=scores.device) != output
    return scores[:, output] - scores[:, others].logsumexp(dim=1)
