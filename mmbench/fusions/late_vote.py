"""Late fusion: every modality's own head has one vote.

Majority vote and sum rule ("soft vote") of Kittler, Hatef, Duin & Matas, "On Combining
Classifiers", IEEE TPAMI 1998. The gradient of a hard vote is the straight-through estimator of
Bengio, Léonard & Courville, 2013 (https://arxiv.org/abs/1308.3432).
Differs from the paper: the outputs are the logarithm of the smoothed shares of the votes, so that
a class without a vote has a finite loss.
"""

from collections.abc import Mapping
from typing import Annotated

from torch import Tensor

from mmbench.contracts import Capabilities, Fused, Fusion
from mmbench.fusions._decisions import EXCLUSIVE, decisions, several_outputs
from mmbench.fusions._projection import presence
from mmbench.hookspecs import hookimpl
from mmbench.space import Choice, Range
from mmbench.types import Features

SMOOTHING = 0.01
"""Votes that every class has beforehand."""


class LateVoteFusion(Fusion):
    """``z_c = log (ε + Σ_m v_mc) / (C ε + M)`` over the M modalities that are present.

    ``vote="soft"``: v_m is softmax(s_m / temperature). ``vote="hard"``: all of v_m is on the class
    with the highest score, shared among equals; the gradient is that of the soft vote. It is for
    exclusive classes. With no modality present all classes are equally probable.

    A sum of votes has no veto, unlike a sum of logits: a modality that cannot know which answer is
    asked for still gives half of all votes to answers of other questions. On ``vqa`` (0.62) it
    therefore stays below the question alone (0.67), where late-average reaches 0.87.
    """

    name = "late-vote"
    offered = "named"
    capabilities = Capabilities(level="decision", handles_missing=True, targets=EXCLUSIVE)

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        vote: Annotated[str, Choice("soft", "hard")] = "soft",
        temperature: Annotated[float, Range(0.1, 2.0, log=True)] = 1.0,
    ) -> None:
        super().__init__(dims)
        self.out_dim = several_outputs(dims, "late-vote")
        self.vote, self.temperature = vote, temperature

    def forward(self, features: Features) -> Fused:
        present = presence(features, self.dims)  # (batch, modality)
        votes = self._votes(decisions(features, self.dims, present)) * present.unsqueeze(-1)
        voters = present.sum(dim=1, keepdim=True).to(votes.dtype)  # (batch, 1)
        shares = (SMOOTHING + votes.sum(dim=1)) / (SMOOTHING * self.out_dim + voters)
        weights = present / voters.clamp(min=1)
        return Fused(shares.log(), weights=weights)

    def _votes(self, scores: Tensor) -> Tensor:
        """(batch, modality, class), each modality's votes summing to one."""
        soft = (scores / self.temperature).softmax(dim=-1)
        if self.vote == "soft":
            return soft
        highest = (scores == scores.amax(dim=-1, keepdim=True)).to(soft.dtype)
        hard = highest / highest.sum(dim=-1, keepdim=True)
        return hard + soft - soft.detach()


@hookimpl
def register_fusions() -> list[type[Fusion]]:
    return [LateVoteFusion]
