"""A tiny world to train in: every kind of target, two modalities that each know most of it.

Paradigms do more than compute a loss, so their promises are tested on real training: the real
model, the real trainer, in a second.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from mmbench.contracts import Course, Dataset, Objective
from mmbench.features import prepare
from mmbench.model import FusionModel, build_encoders, build_model, build_objective
from mmbench.plugins import Plugins, load_plugins
from mmbench.resolve import Resolved
from mmbench.space import validate
from mmbench.spec import Component, TrainSpec, TrialSpec
from mmbench.training import Fitted, OnEpoch, Trainer, TrialCourse
from mmbench.types import MISSING, Column, Part, Split, TargetKind, Task

MODALITIES = ("a", "b")
DIM, N_OUTPUTS = 5, 3
LENGTH = 2
"""Of sequences, whose tokens are the outputs."""
NOISE = 0.3
"""Beside numbers of variance 1: so little that a linear head finds them."""
ROWS: dict[Part, int] = {"train": 192, "val": 96, "test": 96}
METRICS: dict[TargetKind, str] = {
    "classification": "accuracy",
    "multilabel": "micro-f1",
    "regression": "r2",
    "retrieval": "mean-recall",
    "sequence": "exact-match",
}
FUSIONS: dict[TargetKind, str] = {"retrieval": "dual"}
"""Where it is not concat."""
BRIEF = TrainSpec(max_epochs=12, batch_size=32, patience=12, learning_rate=1e-2)


class TinyTask(Dataset):
    """What is to be predicted is drawn first; both modalities show it, each with its own noise.

    In ``missing`` of the rows, the second modality has no value; ``noise`` is its deviation.
    """

    name: ClassVar[str] = "tiny"
    version = "1"

    def __init__(self, target: TargetKind, missing: float = 0.0, noise: float = NOISE) -> None:
        outputs = () if target == "retrieval" else tuple(f"y{i}" for i in range(N_OUTPUTS))
        self.task = Task(
            dict.fromkeys(MODALITIES, "tabular"),
            target,
            outputs,
            METRICS[target],
            length=LENGTH if target == "sequence" else 1,
        )
        self.missing, self.noise = missing, noise

    def load(self, part: Part) -> Split:
        draws = torch.Generator().manual_seed({"train": 1, "val": 2, "test": 3}[part])
        shown, target = self._truth(ROWS[part], draws)
        mixing = torch.Generator().manual_seed(0)
        columns = {}
        for modality in MODALITIES:
            mixed = shown @ torch.randn(N_OUTPUTS, DIM, generator=mixing)
            noise = self.noise * torch.randn(mixed.shape, generator=draws)
            columns[modality] = Column(mixed + noise)
        if self.missing:
            index = torch.arange(ROWS[part])
            index[torch.rand(ROWS[part], generator=draws) < self.missing] = MISSING
            columns["b"] = Column(columns["b"].values, index)
        return Split(columns, target)

    def _truth(self, rows: int, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        """What the modalities show (rows, N_OUTPUTS), and the target."""
        if self.task.target == "classification":
            # imbalanced, so that what is done about imbalance has something to do
            classes = torch.multinomial(
                torch.tensor([0.5, 0.3, 0.2]), rows, replacement=True, generator=draws
            )
            return torch.nn.functional.one_hot(classes, N_OUTPUTS) * 2.0 - 1, classes
        numbers = torch.randn(rows, N_OUTPUTS, generator=draws)
        if self.task.target == "regression":
            return numbers, numbers
        if self.task.target == "retrieval":
            return 3 * numbers, torch.arange(rows).unsqueeze(1).expand(-1, 2).contiguous()
        labels = (numbers > 0).long()
        shown = labels * 2.0 - 1
        if self.task.target == "sequence":  # one of two tokens, and then another or the end
            labels = torch.stack([1 + labels[:, 0], (1 + labels[:, 1]) * labels[:, 2]], dim=1)
        return shown, labels


@dataclass
class Practice:
    """One training of an objective in the tiny world."""

    objective: type[Objective]
    target: TargetKind
    params: dict[str, Any] = field(default_factory=dict)
    encoder: str = "mlp"
    modalities: tuple[str, ...] = MODALITIES
    missing: float = 0.0
    noise: float = NOISE
    seed: int = 0
    train: TrainSpec = BRIEF

    @property
    def plugins(self) -> Plugins:
        return installed()

    def resolved(self) -> Resolved:
        """The parts of the trial: the objective under test, with what it is defined with."""
        dataset = TinyTask(self.target, self.missing, self.noise)
        if len(self.modalities) == 1:
            fusion = Component("only", {"modality": self.modalities[0]})
        else:
            fusion = Component(self._first("fusion", FUSIONS.get(self.target, "concat")))
        spec = TrialSpec(
            Component("tiny"),
            {m: Component(self.encoder) for m in self.modalities},
            fusion,
            Component(self._first("head", "linear")),
            Component(
                self.objective.name, validate(self.objective, self.params, self.objective.name)
            ),
            self.train,
            self.seed,
        )
        encoder = self.plugins.encoders[self.encoder]
        return Resolved(
            spec,
            dataset,
            dict.fromkeys(self.modalities, encoder),
            self.plugins.fusions[fusion.name],
            self.plugins.heads[spec.head.name],
            self.objective,
        )

    def _first(self, kind: Any, otherwise: str) -> str:
        allowed = self.objective.requires.get(kind)
        return allowed[0] if allowed else otherwise

    def start(self) -> "Started":
        """Everything built, nothing trained."""
        resolved = self.resolved()
        train, val = (resolved.dataset.load(part) for part in ("train", "val"))
        fitted = {
            m: cls.fit_to_target(train.columns[m], train.target, self.target)
            for m, cls in resolved.encoders.items()
        }
        encoders = build_encoders(resolved, fitted)
        model = build_model(resolved, encoders)
        metric = self.plugins.metrics[resolved.task.metric]()
        trainer = Trainer(
            resolved.spec.train,
            build_objective(resolved, model),
            metric,
            self.seed,
            torch.device("cpu"),
        )
        return Started(model, prepare(train, encoders), prepare(val, encoders), trainer)


@dataclass(frozen=True, slots=True)
class Started:
    """A training before its first step."""

    model: FusionModel
    train: Split
    val: Split
    trainer: Trainer

    @property
    def course(self) -> Course:
        return TrialCourse(self.train, self.val, None, self.trainer)

    def fit(self, on_epoch: OnEpoch = lambda *_: None) -> Fitted:
        return self.trainer.fit(self.model, self.train, self.val, None, on_epoch)


@cache
def installed() -> Plugins:
    """What is installed, loaded once."""
    return load_plugins()
