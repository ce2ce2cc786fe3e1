"""Fit one model. Plain PyTorch: the objective steps, one early stop, one report per epoch."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from mmbench.batching import batches, epoch_order
from mmbench.contracts import Course, Metric, Objective, trainable
from mmbench.errors import TrainingDiverged
from mmbench.model import FusionModel
from mmbench.optimizer import AdamW
from mmbench.seeds import global_stream, stream
from mmbench.spec import TrainSpec
from mmbench.types import Split

OnEpoch = Callable[[int, dict[str, float]], None]
EVALUATION_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Fitted:
    """How a training went; the model itself holds the weights of the best epoch."""

    best_epoch: int
    score: float
    """The main metric on validation at the best epoch."""
    curve: list[dict[str, float]] = field(default_factory=list)
    """Per epoch: ``epoch``, ``train_loss``, ``score``, ``seconds``."""
    seconds: float = 0.0


@dataclass
class Progress:
    """The curve of one training so far: its best epoch, and whether it is time to stop."""

    metric: Metric
    patience: int
    curve: list[dict[str, float]] = field(default_factory=list)
    best: int = -1
    """The number of the best epoch."""

    def note(self, loss: float, score: float, seconds: float) -> bool:
        """Add an epoch; whether it is the best so far."""
        epoch = len(self.curve)
        self.curve.append({"epoch": epoch, "train_loss": loss, "score": score, "seconds": seconds})
        if self.best >= 0 and not self._better(score, self.curve[self.best]["score"]):
            return False
        self.best = epoch
        return True

    def _better(self, score: float, than: float) -> bool:
        return score > than if self.metric.higher_is_better else score < than

    @property
    def is_over(self) -> bool:
        """Patience is at its end, or no later epoch could be chosen instead of the best."""
        perfect = self.curve[self.best]["score"] == self.metric.best
        return perfect or len(self.curve) - 1 - self.best >= self.patience

    def fitted(self, seconds: float) -> Fitted:
        return Fitted(self.best, self.curve[self.best]["score"], self.curve, seconds)


def changing(model: FusionModel) -> dict[str, Tensor]:
    """A copy of its state without the frozen encoders, which may be hundreds of times the rest."""
    frozen = tuple(f"encoders.{m}." for m, e in model.encoders_by_modality.items() if e.frozen)
    state = model.state_dict()
    return {name: tensor.clone() for name, tensor in state.items() if not name.startswith(frozen)}


def go_on() -> None:
    """Between steps: nothing asks the training to end."""


@dataclass(frozen=True, slots=True)
class Trainer:
    """What training needs besides data: how long, how fast, by which loss, judged by what."""

    spec: TrainSpec
    objective: Objective
    metric: Metric
    seed: int
    device: torch.device
    between_steps: Callable[[], None] = go_on
    """Called before each step; may raise to leave the training at once."""
    named_epochs: int = 0
    """As many as were asked for, where few rows make more of them: an objective counts in these.

    A warm-up or an annealing then is as long a part of any training. 0: none were added."""

    @property
    def stages(self) -> int:
        """What an objective knows as epochs; each is one pass over the rows, or several."""
        return self.named_epochs or self.spec.max_epochs

    def fit(
        self,
        model: FusionModel,
        train: Split,
        val: Split,
        groups: Tensor | None,
        on_epoch: OnEpoch,
    ) -> Fitted:
        """Train with early stopping on ``val``; leaves the best weights in ``model``."""
        start = time.perf_counter()
        model.to(self.device)
        self.objective.to(self.device)
        steps = math.ceil(len(train) / self.spec.batch_size)
        course = TrialCourse(train, val, groups, self)
        with global_stream(self.seed, "practice"):
            self.objective.begin(model, course)
        optimizer = self.optimizer(model, spared=self.objective)
        order = stream(self.seed, "batches")
        progress, best_state = Progress(self.metric, self.spec.patience), dict[str, Tensor]()
        with global_stream(self.seed, "dropout"):
            for epoch in range(self.spec.max_epochs):
                began = time.perf_counter()
                self._begin_epoch(epoch, model, course)
                rows = self.objective.rows(epoch_order(len(train), groups, order), order)
                loss = self.train_epoch(model, train, rows, optimizer, epoch * steps, steps)
                score = self.judged(predict(model, val, self.device), val)
                is_best = progress.note(loss, score, time.perf_counter() - began)
                on_epoch(epoch, {"train_loss": loss, "score": score})
                if is_best:
                    best_state = changing(model)
                if progress.is_over:
                    break
        model.load_state_dict(best_state, strict=False)
        return progress.fitted(time.perf_counter() - start)

    def optimizer(self, module: nn.Module, spared: nn.Module | None = None) -> AdamW:
        """For what trains in ``module``, and in ``spared``, which does not decay."""
        others = [] if spared is None else trainable(spared)
        return AdamW(trainable(module), weight_decay=self.spec.weight_decay, spared=others)

    def train_epoch(
        self,
        model: FusionModel,
        train: Split,
        rows: Tensor,
        optimizer: AdamW,
        done: int,
        steps: int,
    ) -> float:
        """One pass over ``rows``; the mean loss. No value is read back before the pass ends."""
        model.train()
        self.objective.train()
        optimizer.zero_grad()
        total = torch.zeros((), device=self.device)
        fed = batches(train, rows, self.spec.batch_size, self.device)
        for step, batch in enumerate(fed, start=done):
            self.between_steps()
            rate = learning_rate(self.spec, step, steps * self.spec.max_epochs)
            update = partial(self.update, optimizer, rate)
            total += self.objective.step(model, batch, update) * len(batch)
        return self.checked(float(total) / len(rows), done // steps)

    def update(self, optimizer: AdamW, rate: float) -> None:
        """Clip the gradients, use them, clear them."""
        nn.utils.clip_grad_norm_(optimizer.parameters, self.spec.clip)
        optimizer.step(rate)
        optimizer.zero_grad()

    def _begin_epoch(self, epoch: int, model: FusionModel, course: Course) -> None:
        """Tell the objective, if a stage of the training begins with this pass over the rows."""
        before, now = (e * self.stages // self.spec.max_epochs for e in (epoch - 1, epoch))
        if now > before:
            model.eval()
            self.objective.eval()
            self.objective.begin_epoch(now, model, course)

    def checked(self, loss: float, epoch: int) -> float:
        """The mean loss of an epoch, or ``TrainingDiverged``."""
        if math.isfinite(loss):
            return loss
        raise TrainingDiverged(
            f"The training loss became {loss} in epoch {epoch}. "
            f"A lower learning rate than {self.spec.learning_rate:g} may help."
        )

    def judged(self, scores: Tensor, val: Split) -> float:
        """The main metric of scores (rows, n_outputs), or ``TrainingDiverged``."""
        score = self.metric(scores, val.target.cpu())
        if math.isfinite(score):
            return score
        raise TrainingDiverged(f"{self.metric.name} on validation is {score}.")


class TrialCourse(Course):
    """What the objective of a trial may know of it."""

    def __init__(self, train: Split, val: Split, groups: Tensor | None, trainer: Trainer) -> None:
        self.train, self.val, self.groups, self.trainer = train, val, groups, trainer
        self.epochs = trainer.stages

    def batches(self, split: Split) -> Iterator[Split]:
        return batches(split, torch.arange(len(split)), EVALUATION_BATCH, self.trainer.device)

    def practise(
        self, loss: Callable[[Split], Tensor], modules: Sequence[nn.Module], epochs: int
    ) -> None:
        """As ``Trainer.train_epoch`` does, but with the loss given and no look at validation."""
        spec, device = self.trainer.spec, self.trainer.device
        everything = nn.ModuleList(modules).to(device)
        optimizer = self.trainer.optimizer(everything)
        order = stream(self.trainer.seed, "practice")
        passes = math.ceil(epochs * spec.max_epochs / self.epochs)
        steps, step = passes * math.ceil(len(self.train) / spec.batch_size), 0
        everything.train()
        for _ in range(passes):
            rows = epoch_order(len(self.train), self.groups, order)
            for batch in batches(self.train, rows, spec.batch_size, device):
                self.trainer.between_steps()
                optimizer.zero_grad()
                loss(batch).backward()
                self.trainer.update(optimizer, learning_rate(spec, step, steps))
                step += 1
        everything.eval()


def learning_rate(spec: TrainSpec, step: int, steps: int) -> float:
    """Rise linearly over the warm-up, then fall to zero along half a cosine."""
    warm = max(1, round(spec.warmup * steps))
    if step < warm:
        return spec.learning_rate * (step + 1) / warm
    return spec.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


@torch.inference_mode()
def predict(model: FusionModel, split: Split, device: torch.device) -> Tensor:
    """Scores (rows, n_outputs) on the CPU, in the order of the split."""
    model.eval()
    rows = torch.arange(len(split))
    parts = [model(batch).scores for batch in batches(split, rows, EVALUATION_BATCH, device)]
    return torch.cat(parts).float().cpu()
