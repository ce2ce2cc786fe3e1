"""Unimodal teachers: each encoder keeps close to one that was trained alone.

Du, Li, Liu, Wen, Hua, Wang & Zhao, "Improving Multi-Modal Learning with Uni-Modal Teachers", 2021
(https://arxiv.org/abs/2106.11059).
Differs from the paper: teachers learn from, and read, samples as they are; the encoders that follow
them read what augmentation makes of the same samples.
"""

import copy
from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor, nn

from mmbench.contracts import Course, Encoder, Model, Objective, Outputs, with_penalty
from mmbench.hookspecs import hookimpl
from mmbench.losses import supervised_loss
from mmbench.objectives._present import mean_over
from mmbench.space import Range
from mmbench.types import Column, Encoded, Split, Task


class UMTObjective(Objective):
    """``L = L(f(x), y) + weight · Σ_m mean of (x_m − t_m)²`` over units, x_m the pooled features.

    Teacher t_m is a copy of the encoder, trained beforehand with a linear head of its own for
    ``teacher_epochs``, then fixed. A frozen encoder needs no teacher.
    """

    name = "umt"
    acts_on_encoders = True
    offered = "named"
    batched = False

    def __init__(
        self,
        task: Task,
        dims: Mapping[str, int],
        fused_dim: int,
        *,
        weight: Annotated[float, Range(0.1, 10.0, log=True)] = 1.0,
        teacher_epochs: int = 3,
    ) -> None:
        super().__init__(task, dims, fused_dim)
        self.weight, self.teacher_epochs = weight, teacher_epochs
        self.teachers = nn.ModuleDict()

    def begin(self, model: Model, course: Course) -> None:
        """Train the teachers, each alone."""
        for modality, encoder in model.encoders_by_modality.items():
            if encoder.frozen or not any(p.requires_grad for p in encoder.parameters()):
                continue
            teacher = copy.deepcopy(encoder)
            head = nn.Linear(encoder.out_dim, self.task.n_outputs)

            def alone(batch: Split, modality: str = modality, teacher: Encoder = teacher,
                      head: nn.Module = head) -> Tensor:  # fmt: skip
                encoded = encode(teacher, batch.columns[modality])
                losses = supervised_loss(self.task.target, head(encoded.pooled), batch.target)
                return mean_over(losses, encoded.present)

            course.practise(alone, [teacher, head], self.teacher_epochs)
            self.teachers[modality] = teacher.requires_grad_(requires_grad=False).eval()

    def train(self, mode: bool = True) -> "UMTObjective":  # noqa: FBT001, FBT002 - torch's signature
        """A teacher is fixed: it stays in evaluation mode."""
        super().train(mode)
        self.teachers.eval()
        return self

    def loss(self, model: Model, batch: Split) -> Tensor:
        outputs = model.respond(model.encode(batch))
        loss = with_penalty(self(outputs, batch.target), outputs)
        for modality, teacher in self.teachers.items():
            student = outputs.features[modality]
            with torch.no_grad():
                taught = encode(teacher, batch.columns[modality])
            distances = (student.pooled - taught.pooled).square().mean(dim=-1)  # (batch,)
            loss = loss + self.weight * mean_over(distances, student.present)
        return loss

    def forward(self, outputs: Outputs, target: Tensor) -> Tensor:
        return supervised_loss(self.task.target, outputs.scores, target).mean()


def encode(encoder: nn.Module, column: Column) -> Encoded:
    """A batch of one modality through an encoder, each distinct value once."""
    encoded: Encoded = column.spread(encoder(column.values))
    return encoded


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [UMTObjective]
