"""Fit K models of one structure together: what ``Trainer.fit`` does, for all in each step.

Every member keeps its own learning rate, weight decay, clipping, order of rows, random draws,
report per epoch, early stop and best weights. One that ends, whether well or with an error, leaves
the stack; the others go on.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mmbench.batching import epoch_order
from mmbench.model import FusionModel
from mmbench.seeds import derived, global_stream, stream
from mmbench.together.batches import gather, vectors_once
from mmbench.together.memory import kept_memory
from mmbench.together.stack import Learner, Stack
from mmbench.training import (
    EVALUATION_BATCH,
    Fitted,
    OnEpoch,
    Progress,
    Trainer,
    TrialCourse,
    learning_rate,
)
from mmbench.types import Split

CACHED_MEMBERS = 8
"""More members than these share the rows of an evaluation batch: memory, not overhead, counts."""


@dataclass
class Member:
    """One of the models that train together; ``end`` says how its training went."""

    trainer: Trainer
    model: FusionModel
    on_epoch: OnEpoch
    on_end: Callable[[Fitted | Exception], None]
    """Told when its training has ended; the best weights are then in its model."""
    end: Fitted | Exception | None = None
    seconds: float = 0.0
    """Its share of the time of all."""
    progress: Progress = field(init=False)
    best: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.progress = Progress(self.trainer.metric, self.trainer.spec.patience)

    def after_epoch(self, loss: float, scores: Tensor, row: Tensor, val: Split) -> None:
        """Note the epoch; set ``end`` if it was the last, or if anything raised."""
        epoch = len(self.progress.curve)
        try:
            loss = self.trainer.checked(loss, epoch)
            score = self.trainer.judged(scores, val)
            if self.progress.note(loss, score, self.seconds - self._noted()):
                self.best = row.clone()
            self.on_epoch(epoch, {"train_loss": loss, "score": score})
        except Exception as error:  # noqa: BLE001 - it ends this member, not the others
            self.end = error
        else:
            if self.progress.is_over or epoch + 1 == self.trainer.spec.max_epochs:
                self.end = self.progress.fitted(self.seconds)

    def _noted(self) -> float:
        return sum(epoch["seconds"] for epoch in self.progress.curve)


def fit_together(
    members: Sequence[Member], train: Split, val: Split, groups: Tensor | None
) -> None:
    """Train all members until each has ended.

    Raises ``NotTogether`` if they differ by more than weights and numbers, and whatever a pass
    through all of them raises, such as that a function cannot be batched.
    """
    with kept_memory():
        course = TogetherCourse(members, train, val, groups)
        while course.members:
            course.epoch()


class TogetherCourse:
    """The stack of those members that still train."""

    def __init__(
        self, members: Sequence[Member], train: Split, val: Split, groups: Tensor | None
    ) -> None:
        self.members, self.groups = list(members), groups
        self.train, self.val = vectors_once(train), vectors_once(val)
        first = members[0].trainer
        self.device, self.size = first.device, first.spec.batch_size
        self.steps, self.done = math.ceil(len(train) / self.size), 0
        self.learners = [self._begun(member) for member in members]
        self.stack = self._stacked()
        seeds = [member.trainer.seed for member in members]
        self.same_rows = len(set(seeds)) == 1
        self.orders = [stream(seed, "batches") for seed in (seeds[:1] if self.same_rows else seeds)]

    def _begun(self, member: Member) -> Learner:
        trainer, model = member.trainer, member.model.to(self.device)
        trainer.objective.to(self.device)
        with global_stream(trainer.seed, "practice"):
            trainer.objective.begin(model, TrialCourse(self.train, self.val, self.groups, trainer))
        return Learner(model, trainer.objective)

    def _stacked(self) -> Stack:
        generators = [
            torch.Generator(self.device).manual_seed(derived(m.trainer.seed, "dropout"))
            for m in self.members
        ]
        return Stack(self.learners, generators, [m.trainer.spec.weight_decay for m in self.members])

    def epoch(self) -> None:
        """One pass over the training part, one look at validation, and who goes on."""
        start = time.perf_counter()
        losses, scores = self._pass(), self._scores()
        share = (time.perf_counter() - start) / len(self.members)
        for k, member in enumerate(self.members):
            member.seconds += share
            member.after_epoch(losses[k], scores[k], self.stack.rows[k], self.val)
        self._drop_ended()

    def _pass(self) -> list[float]:
        """The mean loss of each member."""
        orders = [epoch_order(len(self.train), self.groups, order) for order in self.orders]
        specs = [member.trainer.spec for member in self.members]
        clips = torch.tensor([spec.clip for spec in specs], device=self.device)
        total = torch.zeros(len(specs), device=self.device)
        for rows in zip(*(order.split(self.size) for order in orders), strict=True):
            self.members[0].trainer.between_steps()
            batch = gather(self.train, rows, self.device)
            total += self.stack.losses(batch) * len(rows[0])
            rates = [learning_rate(s, self.done, self.steps * s.max_epochs) for s in specs]
            self.stack.update(clips, rates)
            self.done += 1
        return (total / len(self.train)).tolist()

    def _scores(self) -> Tensor:
        """(members, rows, n_outputs) on validation, on the CPU."""
        size = EVALUATION_BATCH // min(len(self.members), CACHED_MEMBERS)
        parts = [
            self.stack.scores(gather(self.val, [rows], self.device))
            for rows in torch.arange(len(self.val)).split(size)
        ]
        return torch.cat(parts, dim=1).float().cpu()

    def _drop_ended(self) -> None:
        going = [k for k, member in enumerate(self.members) if member.end is None]
        if len(going) == len(self.members):
            return
        for member, learner in zip(self.members, self.learners, strict=True):
            if isinstance(member.end, Fitted):
                self.stack.write(member.best, learner)
            if member.end is not None:
                member.on_end(member.end)
        self.members = [self.members[k] for k in going]
        self.learners = [self.learners[k] for k in going]
        if not self.same_rows:
            self.orders = [self.orders[k] for k in going]
        self.stack.keep(going)
